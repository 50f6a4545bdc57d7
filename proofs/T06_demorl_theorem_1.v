(* M-DeMoRL (Mishra et al. 2022), Theorem 1; see 06-demorl-theorem-1.md.

   Printed, for dynamic mirror descent on convex objectives J_t, with comparators eta*_t:

     sum_{t=0}^T J(eta~_t) - J_r(eta*_t)
       <= D_max/alpha_{T+1} + (4M/alpha_T) W + G^2/(2 sigma) sum_{t=1}^T alpha_t + T R_{f,H}.

   The left side has T+1 terms. Here: the sum of step sizes runs from 0 and the last term is
   (T+1) R_{f,H}; and two runs, one and two steps long, on which the printed bound fails. *)

Require Import Reals Lra Lia FiniteSpace Series.
Open Scope R_scope.

Definition vec (I : space) : Type := I -> R.
Definition dot {I : space} (x y : vec I) : R := sum (fun i => x i * y i).
Definition vsub {I : space} (x y : vec I) : vec I := fun i => x i - y i.
(* the point x + s (u - x) of the segment from x to u *)
Definition mix {I : space} (s : R) (x u : vec I) : vec I := fun i => x i + s * (u i - x i).

Lemma dot_vsub {I : space} (y x z : vec I) : dot y (vsub x z) = dot y x - dot y z.
Proof. unfold dot, vsub. rewrite <- sum_minus. apply sum_ext. intro i. ring. Qed.
Lemma dot_mix {I : space} (y x u : vec I) s : dot y (mix s x u) = dot y x + s * (dot y u - dot y x).
Proof.
  unfold dot, mix. rewrite <- sum_minus, <- sum_scal, <- sum_plus. apply sum_ext. intro i. ring.
Qed.

(* What the theorem assumes of a convex set, of a mirror map on it and of a pair of dual norms. *)
Record geometry (I : space) := Geometry {
  feasible : vec I -> Prop;
  psi : vec I -> R;
  grad_psi : vec I -> vec I;
  norm : vec I -> R;
  dual : vec I -> R;
  sigma : R;
  sigma_pos : 0 < sigma;
  norm_nonneg : forall x, 0 <= norm x;
  norm_sym : forall x y, norm (vsub x y) = norm (vsub y x);
  dual_nonneg : forall y, 0 <= dual y;
  dual_norm : forall y x, dot y x <= dual y * norm x;
  convex_set : forall x u s, feasible x -> feasible u -> 0 <= s <= 1 -> feasible (mix s x u);
  (* grad_psi is the gradient of psi along the segments of the set *)
  psi_gradient : forall x u, feasible x -> feasible u -> forall e, 0 < e ->
    exists d, 0 < d /\ forall s, 0 < s <= d ->
      Rabs (psi (mix s x u) - psi x - s * dot (grad_psi x) (vsub u x)) <= s * e;
  (* psi is sigma-strongly convex *)
  strongly_convex : forall x y, feasible x -> feasible y ->
    sigma / 2 * norm (vsub x y) ^ 2 <= psi x - psi y - dot (grad_psi y) (vsub x y)
}.
Arguments feasible {I} g x.
Arguments psi {I} g x.
Arguments grad_psi {I} g x.
Arguments norm {I} g x.
Arguments dual {I} g y.
Arguments sigma {I} g.

(* the Bregman divergence D(x || y) of psi *)
Definition bregman {I : space} (g : geometry I) (x y : vec I) : R :=
  psi g x - psi g y - dot (grad_psi g y) (vsub x y).

(* A run of dynamic mirror descent, equations (5) and (6), its comparators and its constants. *)
Record run {I : space} (g : geometry I) := Run {
  J : nat -> vec I -> R;             (* the cost in the model at x_t *)
  J_r : nat -> vec I -> R;           (* the cost in the real system *)
  grad_J : nat -> vec I -> vec I;
  alpha : nat -> R;
  shift : nat -> vec I -> vec I;     (* Phi_t *)
  tilde : nat -> vec I;              (* eta~_t *)
  eta : nat -> vec I;
  star : nat -> vec I;               (* eta*_t, the comparator *)
  D_max : R; M : R; G : R; R_f : R;
  tilde_feasible : forall t, feasible g (tilde t);
  star_feasible : forall t, feasible g (star t);
  shift_feasible : forall t x, feasible g x -> feasible g (shift t x);
  J_convex : forall t x y, feasible g x -> feasible g y ->
    J t y + dot (grad_J t y) (vsub x y) <= J t x;
  G_bound : forall t x, feasible g x -> dual g (grad_J t x) <= G;
  M_bound : forall x, feasible g x -> dual g (grad_psi g x) <= 2 * M;
  D_bound : forall x y, feasible g x -> feasible g y -> bregman g x y <= D_max;
  R_bound : forall t x, feasible g x -> J t x - J_r t x <= R_f;      (* Lemma 1 *)
  alpha_pos : forall t, 0 < alpha t;
  alpha_mono : forall t, alpha (S t) <= alpha t;
  (* the shift does not push points apart: Delta_Phi <= 0 *)
  shift_contracts : forall t x y, feasible g x -> feasible g y ->
    bregman g (shift t x) (shift t y) <= bregman g x y;
  tilde_step : forall t, tilde (S t) = shift (S t) (eta t);
  (* eta_t = argmin alpha_t <grad J_t(eta~_t), eta> + D(eta || eta~_t) *)
  eta_feasible : forall t, feasible g (eta t);
  eta_argmin : forall t u, feasible g u ->
    alpha t * dot (grad_J t (tilde t)) (eta t) + bregman g (eta t) (tilde t)
    <= alpha t * dot (grad_J t (tilde t)) u + bregman g u (tilde t)
}.
Arguments J {I g} r t x.
Arguments J_r {I g} r t x.
Arguments grad_J {I g} r t x.
Arguments alpha {I g} r t.
Arguments shift {I g} r t x.
Arguments tilde {I g} r t.
Arguments eta {I g} r t.
Arguments star {I g} r t.
Arguments D_max {I g} r.
Arguments M {I g} r.
Arguments G {I g} r.
Arguments R_f {I g} r.

(* sum_{t=0}^T J(eta~_t) - J_r(eta*_t) *)
Definition regret {I} {g : geometry I} (r : run g) (T : nat) : R :=
  psum (fun t => J r t (tilde r t) - J_r r t (star r t)) (S T).

(* sum_{t=0}^T |eta*_{t+1} - Phi_{t+1}(eta*_t)| *)
Definition W {I} {g : geometry I} (r : run g) (T : nat) : R :=
  psum (fun t => norm g (vsub (star r (S t)) (shift r (S t) (star r t)))) (S T).

Definition corrected {I} {g : geometry I} (r : run g) (T : nat) : R :=
  D_max r / alpha r (S T) + 4 * M r / alpha r T * W r T
  + G r ^ 2 / (2 * sigma g) * psum (alpha r) (S T) + INR (S T) * R_f r.

Definition printed {I} {g : geometry I} (r : run g) (T : nat) : R :=
  D_max r / alpha r (S T) + 4 * M r / alpha r T * W r T
  + G r ^ 2 / (2 * sigma g) * (psum (alpha r) (S T) - alpha r 0) + INR T * R_f r.

Section Regret.
Context {I : space} {g : geometry I} (r : run g).

Lemma bregman_nonneg x y : feasible g x -> feasible g y -> 0 <= bregman g x y.
Proof.
  intros Hx Hy. pose proof (strongly_convex I g x y Hx Hy) as H. fold (bregman g x y) in H.
  pose proof (sigma_pos I g). assert (0 <= sigma g / 2 * norm g (vsub x y) ^ 2).
  { apply Rmult_le_pos; [lra|]. apply pow2_ge_0. } lra.
Qed.

(* the first-order condition at eta_t *)
Lemma eta_first_order t u : feasible g u ->
  0 <= alpha r t * (dot (grad_J r t (tilde r t)) u - dot (grad_J r t (tilde r t)) (eta r t))
       + (dot (grad_psi g (eta r t)) u - dot (grad_psi g (eta r t)) (eta r t))
       - (dot (grad_psi g (tilde r t)) u - dot (grad_psi g (tilde r t)) (eta r t)).
Proof.
  intro Hu. set (q := _ - _). destruct (Rle_lt_dec 0 q) as [|Hq]; [assumption|exfalso].
  pose proof (eta_feasible g r t) as He.
  destruct (psi_gradient I g (eta r t) u He Hu (- q / 2)) as [d [Hd Hpsi]]; [lra|].
  set (s := Rmin d 1). assert (Hs : 0 < s <= d /\ s <= 1).
  { unfold s. pose proof (Rmin_l d 1). pose proof (Rmin_r d 1). repeat split; try assumption.
    apply Rmin_glb_lt; lra. }
  destruct Hs as [Hs Hs1]. specialize (Hpsi s Hs). apply abs_le in Hpsi. rewrite dot_vsub in Hpsi.
  assert (Hf : feasible g (mix s (eta r t) u)) by (apply convex_set; auto; lra).
  pose proof (eta_argmin g r t _ Hf) as Hmin. unfold bregman in Hmin.
  rewrite !dot_vsub, !dot_mix in Hmin.
  set (ge := dot (grad_J r t (tilde r t)) (eta r t)) in *. set (gu := dot (grad_J r t (tilde r t)) u) in *.
  set (ee := dot (grad_psi g (eta r t)) (eta r t)) in *. set (eu := dot (grad_psi g (eta r t)) u) in *.
  set (te := dot (grad_psi g (tilde r t)) (eta r t)) in *. set (tu := dot (grad_psi g (tilde r t)) u) in *.
  set (ttt := dot (grad_psi g (tilde r t)) (tilde r t)) in *. set (a := alpha r t) in *.
  assert (H1 : 0 <= s * (q / 2)).
  { replace (s * (q / 2)) with (s * q + s * (- q / 2)) by field. unfold q at 1. lra. }
  assert (H2 : 0 < s * (- (q / 2))) by (apply Rmult_lt_0_compat; lra). lra.
Qed.

(* one step of mirror descent *)
Lemma mirror_step t u : feasible g u ->
  J r t (tilde r t) - J r t u
  <= (bregman g u (tilde r t) - bregman g u (eta r t)) / alpha r t + G r ^ 2 / (2 * sigma g) * alpha r t.
Proof.
  intro Hu. pose proof (tilde_feasible g r t) as Ht. pose proof (eta_feasible g r t) as He.
  pose proof (alpha_pos g r t) as Ha. pose proof (sigma_pos I g) as Hsig.
  pose proof (eta_first_order t u Hu) as Hvi.
  pose proof (J_convex g r t u (tilde r t) Hu Ht) as Hcv. rewrite dot_vsub in Hcv.
  pose proof (strongly_convex I g (eta r t) (tilde r t) He Ht) as Hsc.
  rewrite norm_sym in Hsc. set (n := norm g (vsub (tilde r t) (eta r t))) in *.
  assert (Hn : 0 <= n) by apply norm_nonneg.
  assert (HG : dot (grad_J r t (tilde r t)) (tilde r t) - dot (grad_J r t (tilde r t)) (eta r t) <= G r * n).
  { rewrite <- dot_vsub. eapply Rle_trans; [apply dual_norm|].
    apply Rmult_le_compat_r; [exact Hn|]. apply G_bound. exact Ht. }
  assert (Hyoung : alpha r t * (G r * n) - sigma g / 2 * n ^ 2 <= G r ^ 2 / (2 * sigma g) * alpha r t ^ 2).
  { assert (H0 : 0 <= (alpha r t * G r - sigma g * n) ^ 2 / (2 * sigma g)).
    { apply Rle_mult_inv_pos; [apply pow2_ge_0|lra]. }
    assert (H1 : (alpha r t * G r - sigma g * n) ^ 2 / (2 * sigma g)
                 = G r ^ 2 / (2 * sigma g) * alpha r t ^ 2 - (alpha r t * (G r * n) - sigma g / 2 * n ^ 2))
      by (field; lra).
    lra. }
  assert (Hall : alpha r t * (J r t (tilde r t) - J r t u)
                 <= (bregman g u (tilde r t) - bregman g u (eta r t)) + G r ^ 2 / (2 * sigma g) * alpha r t ^ 2).
  { unfold bregman. rewrite !dot_vsub in *.
    assert (H1 : alpha r t * (J r t (tilde r t) - J r t u)
                 <= alpha r t * (dot (grad_J r t (tilde r t)) (tilde r t) - dot (grad_J r t (tilde r t)) u)).
    { apply Rmult_le_compat_l; lra. }
    assert (H2 : alpha r t * (dot (grad_J r t (tilde r t)) (tilde r t) - dot (grad_J r t (tilde r t)) (eta r t))
                 <= alpha r t * (G r * n)) by (apply Rmult_le_compat_l; lra).
    lra. }
  apply (Rmult_le_reg_l (alpha r t)); [exact Ha|].
  replace (alpha r t * ((bregman g u (tilde r t) - bregman g u (eta r t)) / alpha r t
                        + G r ^ 2 / (2 * sigma g) * alpha r t))
    with ((bregman g u (tilde r t) - bregman g u (eta r t)) + G r ^ 2 / (2 * sigma g) * alpha r t ^ 2)
    by (field; lra).
  exact Hall.
Qed.

(* replacing the first argument of a divergence *)
Lemma bregman_move x y z : feasible g x -> feasible g y -> feasible g z ->
  bregman g x z <= bregman g y z + 4 * M r * norm g (vsub x y).
Proof.
  intros Hx Hy Hz. pose proof (bregman_nonneg y x Hy Hx) as H. unfold bregman in *. rewrite !dot_vsub in *.
  assert (H1 : dot (grad_psi g x) x - dot (grad_psi g x) y <= 2 * M r * norm g (vsub x y)).
  { rewrite <- dot_vsub. eapply Rle_trans; [apply dual_norm|].
    apply Rmult_le_compat_r; [apply norm_nonneg|]. apply M_bound. exact Hx. }
  assert (H2 : dot (grad_psi g z) y - dot (grad_psi g z) x <= 2 * M r * norm g (vsub x y)).
  { rewrite <- dot_vsub, (norm_sym I g x y). eapply Rle_trans; [apply dual_norm|].
    apply Rmult_le_compat_r; [apply norm_nonneg|]. apply M_bound. exact Hz. }
  lra.
Qed.

(* THEOREM 1, corrected. *)
Theorem demorl_theorem_1 (T : nat) : regret r T <= corrected r T.
Proof.
  set (D := fun t => bregman g (star r t) (tilde r t)).
  set (w := fun t => norm g (vsub (star r (S t)) (shift r (S t) (star r t)))).
  assert (HD : forall t, 0 <= D t <= D_max r).
  { intro t. split; [apply bregman_nonneg|apply D_bound]; auto using star_feasible, tilde_feasible. }
  assert (Hw : forall t, 0 <= w t) by (intro; apply norm_nonneg).
  assert (HM : 0 <= M r).
  { pose proof (M_bound g r _ (star_feasible g r 0)). pose proof (dual_nonneg I g (grad_psi g (star r 0))). lra. }
  pose proof (alpha_pos g r) as Ha. pose proof (sigma_pos I g) as Hsig.
  assert (Hstep : forall t, J r t (tilde r t) - J_r r t (star r t)
            <= (D t - D (S t)) / alpha r t + 4 * M r / alpha r t * w t
               + G r ^ 2 / (2 * sigma g) * alpha r t + R_f r).
  { intro t. pose proof (star_feasible g r) as Hst.
    pose proof (mirror_step t (star r t) (Hst t)) as H1.
    pose proof (R_bound g r t (star r t) (Hst t)) as H2.
    pose proof (shift_contracts g r (S t) _ _ (Hst t) (eta_feasible g r t)) as H3.
    rewrite <- tilde_step in H3.
    pose proof (bregman_move (star r (S t)) (shift r (S t) (star r t)) (tilde r (S t)) (Hst (S t))
                  (shift_feasible g r (S t) _ (Hst t)) (tilde_feasible g r (S t))) as H4.
    assert (H5 : (D t - bregman g (star r t) (eta r t)) / alpha r t
                 <= (D t - D (S t) + 4 * M r * w t) / alpha r t).
    { unfold Rdiv. apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat, Ha|]. unfold D, w. lra. }
    replace ((D t - D (S t)) / alpha r t + 4 * M r / alpha r t * w t)
      with ((D t - D (S t) + 4 * M r * w t) / alpha r t) by (field; apply Rgt_not_eq, Ha).
    fold (D t) in H1. lra. }
  assert (Hsum : regret r T <= (D_max r - D (S T)) / alpha r T + 4 * M r / alpha r T * W r T
                   + G r ^ 2 / (2 * sigma g) * psum (alpha r) (S T) + INR (S T) * R_f r).
  { unfold regret, W. fold w. induction T as [|T IH].
    - pose proof (Hstep 0%nat) as H0. simpl.
      assert (H1 : (D 0%nat - D 1%nat) / alpha r 0 <= (D_max r - D 1%nat) / alpha r 0).
      { unfold Rdiv. apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat, Ha|]. pose proof (HD 0%nat). lra. }
      lra.
    - pose proof (Hstep (S T)) as H0.
      change (psum (fun t => J r t (tilde r t) - J_r r t (star r t)) (S (S T)))
        with (psum (fun t => J r t (tilde r t) - J_r r t (star r t)) (S T)
              + (J r (S T) (tilde r (S T)) - J_r r (S T) (star r (S T)))).
      change (psum w (S (S T))) with (psum w (S T) + w (S T)).
      change (psum (alpha r) (S (S T))) with (psum (alpha r) (S T) + alpha r (S T)).
      rewrite (S_INR (S T)).
      assert (Hinv : / alpha r T <= / alpha r (S T)) by (apply Rinv_le_contravar; [apply Ha|apply alpha_mono]).
      assert (H1 : (D_max r - D (S T)) * / alpha r T <= (D_max r - D (S T)) * / alpha r (S T)).
      { apply Rmult_le_compat_l; [|exact Hinv]. pose proof (HD (S T)). lra. }
      assert (H2 : 4 * M r * psum w (S T) * / alpha r T <= 4 * M r * psum w (S T) * / alpha r (S T)).
      { apply Rmult_le_compat_l; [|exact Hinv]. repeat apply Rmult_le_pos; try lra. apply psum_nonneg, Hw. }
      unfold Rdiv in *. lra. }
  assert (Hlast : (D_max r - D (S T)) / alpha r T <= D_max r / alpha r (S T)).
  { unfold Rdiv. apply Rmult_le_compat.
    - pose proof (HD (S T)). lra.
    - left. apply Rinv_0_lt_compat, Ha.
    - pose proof (HD (S T)). lra.
    - apply Rinv_le_contravar; [apply Ha|apply alpha_mono]. }
  unfold corrected. lra.
Qed.
End Regret.

(* ---------- two runs on which the printed bound fails ---------- *)

(* One coordinate, the interval [-1,1], psi = eta^2/2, J = J_r = eta (the expectation of C(u) = u for
   u ~ N(eta, s^2)), a constant step size and a shift that ignores its argument. *)
Lemma dot_one (x y : vec one) : dot x y = x tt * y tt.
Proof. unfold dot, sum. simpl. ring. Qed.

Definition line : geometry one.
Proof.
  refine (Geometry one (fun x => -1 <= x tt <= 1) (fun x => x tt ^ 2 / 2) (fun x => x)
            (fun x => Rabs (x tt)) (fun x => Rabs (x tt)) 1 _ _ _ _ _ _ _ _).
  - lra.
  - intro x. apply Rabs_pos.
  - intros x y. apply Rabs_minus_sym.
  - intro x. apply Rabs_pos.
  - intros y x. rewrite dot_one, <- Rabs_mult. apply Rle_abs.
  - intros x u s Hx Hu Hs. unfold mix. nra.
  - intros x u Hx Hu e He. exists (e / 2). split; [lra|]. intros s Hs.
    rewrite dot_one. unfold mix, vsub. apply Rabs_le.
    replace ((x tt + s * (u tt - x tt)) ^ 2 / 2 - x tt ^ 2 / 2 - s * (x tt * (u tt - x tt)))
      with (s * (s * (u tt - x tt) ^ 2 / 2)) by field.
    assert (H1 : 0 <= (u tt - x tt) ^ 2 <= 4) by (split; [apply pow2_ge_0|nra]).
    assert (H2 : 0 <= s * (u tt - x tt) ^ 2 / 2 <= e) by nra.
    split; [|apply Rmult_le_compat_l; lra].
    assert (0 <= s * (s * (u tt - x tt) ^ 2 / 2)) by (apply Rmult_le_pos; lra).
    assert (0 <= s * e) by (apply Rmult_le_pos; lra). lra.
  - intros x y _ _. rewrite dot_one. unfold vsub. rewrite <- Rsqr_pow2, <- Rsqr_abs. unfold Rsqr. nra.
Defined.

Lemma line_bregman x y : bregman line x y = (x tt - y tt) ^ 2 / 2.
Proof. unfold bregman. rewrite dot_one. simpl. unfold vsub. field. Qed.

Section LineRun.
Variables (a : R) (ti st : nat -> R).
Hypothesis Ha : 2 <= a.
Hypothesis Hti : forall t, -1 <= ti t <= 1.
Hypothesis Hst : forall t, -1 <= st t <= 1.

Definition line_run : run line.
Proof.
  refine (Run one line (fun _ x => x tt) (fun _ x => x tt) (fun _ _ _ => 1) (fun _ => a)
            (fun t _ _ => ti t) (fun t _ => ti t) (fun _ _ => -1) (fun t _ => st t) 2 (1 / 2) 1 0
            _ _ _ _ _ _ _ _ _ _ _ _ _ _); try (intros; simpl; first [apply Hti | apply Hst | lra]).
  - intros t x y _ _. rewrite dot_one. unfold vsub. simpl. lra.
  - intros t x _. simpl. rewrite Rabs_R1. lra.
  - intros x [H1 H2]. simpl in *. apply Rabs_le. lra.
  - intros x y [H1 H2] [H3 H4]. rewrite line_bregman. nra.
  - intros t x y _ _. rewrite !line_bregman. pose proof (pow2_ge_0 (x tt - y tt)).
    replace (ti t - ti t) with 0 by ring. lra.
  - intros t. reflexivity.
  - intros t u [H1 H2]. rewrite !line_bregman, !dot_one. pose proof (Hti t). nra.
Defined.

Lemma line_regret T : regret line_run T = psum (fun t => ti t - st t) (S T).
Proof. reflexivity. Qed.
Lemma line_W T : W line_run T = psum (fun t => Rabs (st (S t) - ti (S t))) (S T).
Proof. reflexivity. Qed.
End LineRun.

(* one step: eta~ = 1, eta* = -1 then 1, alpha = 4 *)
Theorem demorl_theorem_1_printed_fails_0 :
  exists (g : geometry one) (r : run g), regret r 0 = 2 /\ printed r 0 = 1 / 2.
Proof.
  assert (Ha : 2 <= 4) by lra.
  assert (Hti : forall t : nat, -1 <= 1 <= 1) by (intro; lra).
  assert (Hst : forall t, -1 <= (match t with O => -1 | S _ => 1 end) <= 1) by (intros []; lra).
  exists line, (line_run 4 (fun _ => 1) (fun t => match t with O => -1 | S _ => 1 end) Ha Hti Hst). split.
  - rewrite line_regret. simpl. ring.
  - unfold printed. rewrite line_W. simpl. replace (1 - 1) with 0 by ring. rewrite Rabs_R0. field.
Qed.

(* two steps: eta~ = 1, 1, -1; eta* = -1; alpha = 7/2 *)
Theorem demorl_theorem_1_printed_fails_1 :
  exists (g : geometry one) (r : run g), regret r 1 = 4 /\ printed r 1 = 97 / 28.
Proof.
  assert (Ha : 2 <= 7 / 2) by lra.
  assert (Hti : forall t, -1 <= (match t with O => 1 | S O => 1 | _ => -1 end) <= 1) by (intros [|[|t]]; lra).
  assert (Hst : forall t : nat, -1 <= -1 <= 1) by (intro; lra).
  exists line, (line_run (7 / 2) (fun t => match t with O => 1 | S O => 1 | _ => -1 end) (fun _ => -1) Ha Hti Hst).
  split.
  - rewrite line_regret. simpl. ring.
  - unfold printed. rewrite line_W. simpl.
    assert (Hw : Rabs (-1 - 1) = 2) by (rewrite Rabs_left; lra).
    assert (Hz : Rabs (-1 - -1) = 0) by (replace (-1 - -1) with 0 by ring; apply Rabs_R0).
    rewrite Hw, Hz. field.
Qed.
