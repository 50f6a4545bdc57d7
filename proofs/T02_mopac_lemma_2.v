(* MoPAC (Morgan et al. 2021), Lemma 2, equation (4), quoted from MBPO (Janner et al. 2019); see
   02-mopac-lemma-2.md.

   Printed, with the model's expected total variation error eps_f under the data policy and a policy
   divergence eps_pi:

     J(pi) - J^(pi) >= -[ 2 gamma r_max (eps_f + 2 eps_pi)/(1 - gamma^2) + 4 r_max eps_pi/(1 - gamma) ].

   Here: true with (1 - gamma)^2, false with 1 - gamma^2. *)

Require Import Reals Lra Lia FiniteSpace Discounted Series Mdp.
Open Scope R_scope.

(* E[ f(s_t) | s_0 = s ] under a policy *)
Definition step {K : task} (P : dynamics K) (pi : policy K) (f : state K -> R) (s : state K) : R :=
  E (pi s) (fun a => E (P s a) f).
Definition after {K : task} (P : dynamics K) (pi : policy K) (t : nat) (f : state K -> R) : state K -> R :=
  iterate t (step P pi) f.

Section After.
Context {K : task} (P : dynamics K) (pi : policy K).

Lemma after_le t f h : (forall s, f s <= h s) -> forall s, after P pi t f s <= after P pi t h s.
Proof.
  intro H. induction t as [|t IH]; intro s; [apply H|].
  unfold after in *. simpl. apply E_le. intro a. apply E_le. exact IH.
Qed.

Lemma after_lin t f h a b s :
  after P pi t (fun x => a * f x + b * h x) s = a * after P pi t f s + b * after P pi t h s.
Proof.
  revert s. induction t as [|t IH]; intro s; [reflexivity|].
  change (step P pi (after P pi t (fun x => a * f x + b * h x)) s
          = a * step P pi (after P pi t f) s + b * step P pi (after P pi t h) s).
  unfold step. rewrite <- E_lin. apply E_ext. intro u.
  rewrite <- E_lin. apply E_ext. exact IH.
Qed.

Lemma after_const t c s : after P pi t (fun _ => c) s = c.
Proof.
  revert s. induction t as [|t IH]; intro s; [reflexivity|]. unfold after in *. simpl. unfold step at 1.
  rewrite (E_ext _ _ (fun _ => c)); [apply E_const|]. intro a.
  rewrite (E_ext _ _ (fun _ => c)); [apply E_const|exact IH].
Qed.
End After.

Section Lemma2.
Variables (K : task) (P Ph : dynamics K) (lo L : R).
Hypothesis Hrew : rewards_within K lo L.
Let g := gamma K.
Let w := L / (1 - g).

Lemma gr : 0 <= g < 1. Proof. apply gamma_range. Qed.
Lemma w_nonneg (s : state K) : 0 <= w.
Proof. pose proof gr. pose proof (Hrew s (some_action K)). unfold w. apply Rle_mult_inv_pos; lra. Qed.

(* One policy, two dynamics: the error counts where the policy takes the true process. *)
Lemma model_swap (pi : policy K) (eps : R) (s0 : state K) :
  (forall t, after P pi t (fun s => E (pi s) (fun a => TV (P s a) (Ph s a))) s0 <= eps) ->
  value Ph pi s0 - value P pi s0 <= g * eps * w / (1 - g).
Proof.
  intro Heps. pose proof gr as Hg. pose proof (w_nonneg s0) as Hw.
  set (err := fun s => E (pi s) (fun a => TV (P s a) (Ph s a))) in *.
  set (d := fun s => value Ph pi s - value P pi s).
  assert (Hd : forall s, d s <= w).
  { intro s. pose proof (value_inside lo L Hrew Ph pi s) as H1. pose proof (value_inside lo L Hrew P pi s) as H2.
    fold g in H1, H2. unfold d, w. lra. }
  assert (H1 : forall s, d s <= (g * w) * err s + g * step P pi d s).
  { intro s. unfold d at 1. rewrite (value_fixed Ph), (value_fixed P). unfold backup.
    unfold err, step. rewrite <- E_lin, <- E_minus. apply E_le. intro a. unfold Q. fold g.
    pose proof (TV_swap (Ph s a) (P s a) (value Ph pi) (lo / (1 - g)) w (value_inside lo L Hrew Ph pi)) as H.
    rewrite TV_sym in H. unfold d. rewrite E_minus.
    assert (Hm : g * (E (Ph s a) (value Ph pi) - E (P s a) (value Ph pi)) <= g * (TV (P s a) (Ph s a) * w)).
    { apply Rmult_le_compat_l; lra. }
    lra. }
  assert (Hn : forall n s, d s <= g * w * psum (fun t => g ^ t * after P pi t err s) n + g ^ n * after P pi n d s).
  { induction n as [|n IH]; intro s.
    - unfold after. simpl. lra.
    - eapply Rle_trans; [apply IH|]. simpl psum.
      pose proof (after_le P pi n d _ H1 s) as H2. rewrite after_lin in H2.
      replace (after P pi n (step P pi d) s) with (after P pi (S n) d s) in H2
        by (unfold after; rewrite iterate_shift; reflexivity).
      assert (Hp : 0 <= g ^ n) by (apply pow_le; lra).
      apply (Rmult_le_compat_l (g ^ n)) in H2; [|exact Hp]. simpl pow. lra. }
  assert (Heps0 : 0 <= eps).
  { eapply Rle_trans; [|apply (Heps 0%nat)]. unfold after. simpl. unfold err. apply E_lower. intro. apply TV_nonneg. }
  assert (Hlim : forall n, d s0 - g * eps * w / (1 - g) <= g ^ n * w).
  { intro n. pose proof (Hn n s0) as H2.
    assert (Hp : 0 <= g ^ n) by (apply pow_le; lra).
    assert (H3 : after P pi n d s0 <= w).
    { rewrite <- (after_const P pi n w s0). apply after_le. exact Hd. }
    assert (H4 : psum (fun t => g ^ t * after P pi t err s0) n <= eps / (1 - g)).
    { apply Rle_trans with (psum (fun t => g ^ t * eps) n).
      - apply psum_le. intros k _. apply Rmult_le_compat_l; [apply pow_le; lra|apply Heps].
      - assert (Hs : psum (fun t => g ^ t * eps) n = eps * (1 - g ^ n) / (1 - g)).
        { clear - Hg. induction n as [|n IH]; simpl; [field; lra|]. rewrite IH. field. lra. }
        rewrite Hs. unfold Rdiv. apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat; lra|].
        assert (0 <= eps * g ^ n) by (apply Rmult_le_pos; assumption). lra. }
    assert (H5 : g * w * psum (fun t => g ^ t * after P pi t err s0) n <= g * w * (eps / (1 - g))).
    { apply Rmult_le_compat_l; [apply Rmult_le_pos; lra|exact H4]. }
    assert (H6 : g ^ n * after P pi n d s0 <= g ^ n * w) by (apply Rmult_le_compat_l; assumption).
    replace (g * eps * w / (1 - g)) with (g * w * (eps / (1 - g))) by (field; lra). lra. }
  pose proof (vanish g w _ Hg Hlim) as Hfin. unfold d in Hfin. lra.
Qed.

(* Lemma 2 in spans: L is the length of an interval that holds the rewards. *)
Theorem mopac_lemma_2_span (pi pi_D : policy K) (eps_f eps_pi : R) (s0 : state K) :
  (forall t, after P pi_D t (fun s => E (pi_D s) (fun a => TV (P s a) (Ph s a))) s0 <= eps_f) ->
  (forall s, TV (pi s) (pi_D s) <= eps_pi) ->
  value P pi s0 - value Ph pi s0 >= - ((g * eps_f + 2 * eps_pi) * L / (1 - g) ^ 2).
Proof.
  intros Hf Hpi. pose proof gr as Hg.
  assert (Hpi' : forall s, TV (pi_D s) (pi s) <= eps_pi) by (intro; rewrite TV_sym; apply Hpi).
  pose proof (model_swap pi_D eps_f s0 Hf) as H1.
  pose proof (policy_swap lo L Hrew P pi_D pi eps_pi s0 Hpi') as H2.
  pose proof (policy_swap lo L Hrew Ph pi pi_D eps_pi s0 Hpi) as H3. fold g w in H2, H3.
  replace ((g * eps_f + 2 * eps_pi) * L / (1 - g) ^ 2)
    with (g * eps_f * w / (1 - g) + 2 * (eps_pi * w / (1 - g))) by (unfold w; field; lra).
  lra.
Qed.

(* A uniform error needs no second policy. *)
Theorem mopac_lemma_2_uniform (pi : policy K) (eps_f : R) (s0 : state K) :
  (forall s a, TV (P s a) (Ph s a) <= eps_f) ->
  value P pi s0 - value Ph pi s0 >= - (g * eps_f * L / (1 - g) ^ 2).
Proof.
  intro Hf. pose proof gr as Hg.
  assert (H : forall t, after P pi t (fun s => E (pi s) (fun a => TV (P s a) (Ph s a))) s0 <= eps_f).
  { intro t. rewrite <- (after_const P pi t eps_f s0). apply after_le. intro s. apply E_upper. apply Hf. }
  pose proof (model_swap pi eps_f s0 H) as H1.
  replace (g * eps_f * L / (1 - g) ^ 2) with (g * eps_f * w / (1 - g)) by (unfold w; field; lra).
  lra.
Qed.
End Lemma2.

(* LEMMA 2, corrected, for |r| <= r_max: the bound of MBPO. *)
Theorem mopac_lemma_2 (K : task) (P Ph : dynamics K) (r_max : R)
    (pi pi_D : policy K) (eps_f eps_pi : R) (s0 : state K) :
  (forall (s : state K) (a : action K), Rabs (reward s a) <= r_max) ->
  (forall t, after P pi_D t (fun s => E (pi_D s) (fun a => TV (P s a) (Ph s a))) s0 <= eps_f) ->
  (forall s, TV (pi s) (pi_D s) <= eps_pi) ->
  value P pi s0 - value Ph pi s0
  >= - (2 * gamma K * r_max * (eps_f + 2 * eps_pi) / (1 - gamma K) ^ 2 + 4 * r_max * eps_pi / (1 - gamma K)).
Proof.
  intros Hr Hf Hpi. pose proof (gamma_range K) as Hg.
  assert (Hrew : rewards_within K (- r_max) (2 * r_max)).
  { intros s a. pose proof (abs_le _ _ (Hr s a)). lra. }
  pose proof (mopac_lemma_2_span K P Ph _ _ Hrew pi pi_D eps_f eps_pi s0 Hf Hpi) as H.
  replace (2 * gamma K * r_max * (eps_f + 2 * eps_pi) / (1 - gamma K) ^ 2 + 4 * r_max * eps_pi / (1 - gamma K))
    with ((gamma K * eps_f + 2 * eps_pi) * (2 * r_max) / (1 - gamma K) ^ 2) by (field; lra).
  exact H.
Qed.

(* ---------- the counterexample to 1 - gamma^2 ---------- *)

(* Both states are absorbing, with rewards 0 and 1; the model leaves the first with probability 1/10. *)
Lemma nine_tenths : 0 <= 9 / 10 < 1. Proof. lra. Qed.
Definition drift : task := Task two two false (fun s _ => if s then 1 else 0) (9 / 10) nine_tenths.
Lemma stay_range (s : bool) : 0 <= (if s then 1 else 0) <= 1. Proof. destruct s; lra. Qed.
Lemma leave_range (s : bool) : 0 <= (if s then 1 else 1 / 10) <= 1. Proof. destruct s; lra. Qed.
Definition drift_P : dynamics drift := fun s _ => coin _ (stay_range s).
Definition drift_Ph : dynamics drift := fun s _ => coin _ (leave_range s).

Lemma drift_value pi : value drift_P pi false = 0.
Proof.
  rewrite <- (value_unique drift_P pi (fun s : two => if s then 10 else 0)); [reflexivity|].
  intro s. unfold backup. rewrite (E_ext _ _ (fun _ => if s then 10 else 0)).
  - rewrite E_const. reflexivity.
  - intro a. unfold Q, drift_P. rewrite E_coin. simpl. destruct s; field.
Qed.
Lemma drift_value_model pi : value drift_Ph pi false = 90 / 19.
Proof.
  rewrite <- (value_unique drift_Ph pi (fun s : two => if s then 10 else 90 / 19)); [reflexivity|].
  intro s. unfold backup. rewrite (E_ext _ _ (fun _ => if s then 10 else 90 / 19)).
  - rewrite E_const. reflexivity.
  - intro a. unfold Q, drift_Ph. rewrite E_coin. simpl. destruct s; field.
Qed.

(* gamma = 9/10, rewards in [0,1], L1 error 1/5, no policy divergence: the gap is -90/19 = -4.74, the
   printed bound -36/19 = -1.89. *)
Theorem mopac_lemma_2_printed_fails :
  exists (K : task) (P Ph : dynamics K) (s0 : state K),
    gamma K = 9 / 10 /\ (forall x a, 0 <= reward (t := K) x a <= 1) /\
    (forall s a, L1 (P s a) (Ph s a) <= 1 / 5) /\
    forall pi, value P pi s0 - value Ph pi s0 = - (90 / 19) /\
      - (90 / 19) < - (2 * gamma K * 1 * (1 / 5 + 2 * 0) / (1 - gamma K ^ 2) + 4 * 1 * 0 / (1 - gamma K)).
Proof.
  exists drift, drift_P, drift_Ph, false. split; [reflexivity|]. split; [intros [] a; simpl; lra|]. split.
  - intros s a. unfold drift_P, drift_Ph. rewrite L1_coin.
    assert (Rabs ((if s then 1 else 0) - (if s then 1 else 1 / 10)) <= 1 / 10) by (destruct s; apply Rabs_le; lra).
    lra.
  - intro pi. rewrite drift_value, drift_value_model. simpl gamma. split; lra.
Qed.
