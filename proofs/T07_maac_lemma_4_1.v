(* MAAC (Clavera et al. 2020), Lemma 4.1; see 07-maac-lemma-4.1.md.

   Printed: E|grad J - grad J^| <= c1(H) eps_f + c2(H) eps_Q, with the errors of the derivatives of model
   and critic alone. Here: an instance with eps_f = eps_Q = 0 and a positive left side; the recursion
   that holds, with the one-step error eps_0 of the model's values; and what the closed form of the
   printed sum leaves out.

   Dynamics are deterministic, or stochastic with common noise (the noise is then part of f). Derivatives
   along a trajectory are defined by the chain rule, going forward in time. *)

Require Import Reals Lra Lia FiniteSpace Series Matrices.
Open Scope R_scope.

(* ---------- the corrected lemma ---------- *)

Section Lemma41.
Variable N : matrix_norm.
Local Notation norm := (nrm N).

(* coordinates of states, actions and parameters; vectors are matrices of one column *)
Variables XS XA XT : space.
Definition state := mat XS one.
Definition action := mat XA one.

(* dynamics f, model fh, policy pi at the given parameters, and their derivatives *)
Variables (f fh : state -> action -> state).
Variables (f_s fh_s : state -> action -> mat XS XS) (f_a fh_a : state -> action -> mat XS XA).
Variables (pi : state -> action) (pi_theta : state -> mat XA XT) (pi_s : state -> mat XA XS).
(* the gradient of the reward, and those of the critics Q and Qh in (s,a), as rows *)
Variables (r_s : state -> mat one XS) (Q_x Qh_x : state -> action -> mat one (both XS XA)).
Variables (s0 : state) (g : R) (H : nat).
Hypothesis Hg : 0 <= g.

(* states s_t, their derivatives X_t = grad_theta s_t, and U_t = grad_theta a_t, under (f, f_s, f_a) *)
Fixpoint st (f : state -> action -> state) (t : nat) : state :=
  match t with O => s0 | S k => f (st f k) (pi (st f k)) end.
Definition U_of (s : state) (X : mat XS XT) : mat XA XT := madd (pi_theta s) (mmul (pi_s s) X).
Fixpoint X_of (f : state -> action -> state) (f_s : state -> action -> mat XS XS)
              (f_a : state -> action -> mat XS XA) (t : nat) : mat XS XT :=
  match t with
  | O => mzero
  | S k => let s := st f k in let X := X_of f f_s f_a k in
           madd (mmul (f_s s (pi s)) X) (mmul (f_a s (pi s)) (U_of s X))
  end.

Let s t := st f t.            Let sh t := st fh t.
Let a t := pi (s t).          Let ah t := pi (sh t).
Let X t := X_of f f_s f_a t.  Let Xh t := X_of fh fh_s fh_a t.
Let U t := U_of (s t) (X t).  Let Uh t := U_of (sh t) (Xh t).

(* grad_theta of sum_{t<H} g^t r(s_t) + g^H Q(s_H, a_H) *)
Fixpoint reward_part (s : nat -> state) (X : nat -> mat XS XT) (n : nat) : mat one XT :=
  match n with O => mzero | S k => madd (reward_part s X k) (mscal (g ^ k) (mmul (r_s (s k)) (X k))) end.
Definition grad_J : mat one XT :=
  madd (reward_part s X H) (mscal (g ^ H) (mmul (Q_x (s H) (a H)) (stack (X H) (U H)))).
Definition grad_Jh : mat one XT :=
  madd (reward_part sh Xh H) (mscal (g ^ H) (mmul (Qh_x (sh H) (ah H)) (stack (Xh H) (Uh H)))).

(* Constants. eps_0 is the one-step error of the model's value; eps_s, eps_a, eps_Q are the errors of
   derivatives as the paper defines them, each side at its own trajectory; l_*, L_pi bound first
   derivatives, ell_* are Lipschitz constants of derivatives. *)
Variables (eps_0 eps_s eps_a eps_Q l_s l_a L_pi ell_theta ell_pi ell_r : R).
Hypothesis H_eps_0 : forall t, norm (msub (fh (sh t) (ah t)) (f (sh t) (ah t))) <= eps_0.
Hypothesis H_eps_s : forall t, norm (msub (fh_s (sh t) (ah t)) (f_s (s t) (a t))) <= eps_s.
Hypothesis H_eps_a : forall t, norm (msub (fh_a (sh t) (ah t)) (f_a (s t) (a t))) <= eps_a.
Hypothesis H_eps_Q : norm (msub (Qh_x (sh H) (ah H)) (Q_x (s H) (a H))) <= eps_Q.
Hypothesis H_f : forall x y u v, norm (msub (f x u) (f y v)) <= l_s * norm (msub x y) + l_a * norm (msub u v).
Hypothesis H_f_s : forall t, norm (f_s (s t) (a t)) <= l_s.
Hypothesis H_f_a : forall t, norm (f_a (s t) (a t)) <= l_a.
Hypothesis H_pi : forall x y, norm (msub (pi x) (pi y)) <= L_pi * norm (msub x y).
Hypothesis H_pi_s : forall t, norm (pi_s (s t)) <= L_pi.
Hypothesis H_ell_theta : forall x y, norm (msub (pi_theta x) (pi_theta y)) <= ell_theta * norm (msub x y).
Hypothesis H_ell_pi : forall x y, norm (msub (pi_s x) (pi_s y)) <= ell_pi * norm (msub x y).
Hypothesis H_ell_r : forall x y, norm (msub (r_s x) (r_s y)) <= ell_r * norm (msub x y).
Hypothesis H_l_s : 0 <= l_s.  Hypothesis H_l_a : 0 <= l_a.  Hypothesis H_L_pi : 0 <= L_pi.
Hypothesis H_e_theta : 0 <= ell_theta.  Hypothesis H_e_pi : 0 <= ell_pi.  Hypothesis H_e_r : 0 <= ell_r.

Definition Lam : R := l_s + l_a * L_pi.

(* the error of the state *)
Fixpoint e (t : nat) : R := match t with O => 0 | S k => eps_0 + Lam * e k end.
(* how much the derivative of the action changes because it is taken at another state *)
Definition kappa (t : nat) : R := (ell_theta + ell_pi * norm (Xh t)) * e t.
(* the error of the derivative of the state *)
Fixpoint D (t : nat) : R :=
  match t with
  | O => 0
  | S k => eps_s * norm (Xh k) + eps_a * norm (Uh k) + Lam * D k + l_a * kappa k
  end.

Lemma eps_0_nonneg : 0 <= eps_0.
Proof. eapply Rle_trans; [apply nrm_nonneg|apply (H_eps_0 0)]. Qed.

Lemma Lam_nonneg : 0 <= Lam.
Proof. unfold Lam. assert (0 <= l_a * L_pi) by (apply Rmult_le_pos; assumption). lra. Qed.

Lemma e_nonneg t : 0 <= e t.
Proof.
  induction t as [|t IH]; simpl; [lra|]. pose proof eps_0_nonneg.
  assert (0 <= Lam * e t) by (apply Rmult_le_pos; [apply Lam_nonneg|assumption]). lra.
Qed.

Lemma msub_self I J (A : mat I J) : norm (msub A A) = 0.
Proof.
  rewrite <- (nrm_zero N I J). apply nrm_ext. intros i j. unfold msub, mzero. ring.
Qed.

Lemma msub_triangle I J (A B C : mat I J) : norm (msub A C) <= norm (msub A B) + norm (msub B C).
Proof.
  rewrite (nrm_ext N _ _ (msub A C) (madd (msub A B) (msub B C))); [apply nrm_triangle|].
  intros i j. unfold msub, madd. ring.
Qed.

Lemma state_error t : norm (msub (sh t) (s t)) <= e t.
Proof.
  induction t as [|t IH]; [unfold sh, s; simpl; rewrite msub_self; lra|].
  change (sh (S t)) with (fh (sh t) (ah t)). change (s (S t)) with (f (s t) (a t)). simpl.
  eapply Rle_trans; [apply (msub_triangle _ _ _ (f (sh t) (ah t)))|].
  pose proof (H_eps_0 t). pose proof (H_f (sh t) (s t) (ah t) (a t)) as Hf.
  pose proof (H_pi (sh t) (s t)) as Hp. fold (ah t) (a t) in Hp.
  assert (H1 : l_a * norm (msub (ah t) (a t)) <= l_a * (L_pi * norm (msub (sh t) (s t)))).
  { apply Rmult_le_compat_l; assumption. }
  assert (H2 : Lam * norm (msub (sh t) (s t)) <= Lam * e t).
  { apply Rmult_le_compat_l; [apply Lam_nonneg|assumption]. }
  unfold Lam in *. lra.
Qed.

Lemma kappa_nonneg t : 0 <= kappa t.
Proof.
  unfold kappa. apply Rmult_le_pos; [|apply e_nonneg].
  assert (0 <= ell_pi * norm (Xh t)) by (apply Rmult_le_pos; [assumption|apply nrm_nonneg]). lra.
Qed.

(* the error of the derivative of the action, from that of the state *)
Lemma action_error t d : norm (msub (Xh t) (X t)) <= d ->
  norm (msub (Uh t) (U t)) <= L_pi * d + kappa t.
Proof.
  intro Hd. unfold Uh, U, U_of. eapply Rle_trans; [apply nrm_sum|].
  pose proof (state_error t) as He. pose proof (nrm_nonneg N _ _ (Xh t)).
  assert (H1 : norm (msub (pi_theta (sh t)) (pi_theta (s t))) <= ell_theta * e t).
  { eapply Rle_trans; [apply H_ell_theta|]. apply Rmult_le_compat_l; assumption. }
  assert (H2 : norm (msub (pi_s (sh t)) (pi_s (s t))) <= ell_pi * e t).
  { eapply Rle_trans; [apply H_ell_pi|]. apply Rmult_le_compat_l; assumption. }
  pose proof (nrm_product N _ _ _ (pi_s (s t)) (pi_s (sh t)) (X t) (Xh t)) as H3.
  assert (H4 : norm (msub (pi_s (sh t)) (pi_s (s t))) * norm (Xh t) <= ell_pi * e t * norm (Xh t)).
  { apply Rmult_le_compat_r; assumption. }
  assert (H5 : norm (pi_s (s t)) * norm (msub (Xh t) (X t)) <= L_pi * d).
  { apply Rmult_le_compat; try apply nrm_nonneg; [apply H_pi_s|assumption]. }
  unfold kappa. lra.
Qed.

Lemma derivative_error t : norm (msub (Xh t) (X t)) <= D t.
Proof.
  induction t as [|t IH]; [unfold Xh, X; simpl; rewrite msub_self; lra|].
  change (Xh (S t)) with (madd (mmul (fh_s (sh t) (ah t)) (Xh t)) (mmul (fh_a (sh t) (ah t)) (Uh t))).
  change (X (S t)) with (madd (mmul (f_s (s t) (a t)) (X t)) (mmul (f_a (s t) (a t)) (U t))).
  eapply Rle_trans; [apply nrm_sum|].
  pose proof (nrm_product N _ _ _ (f_s (s t) (a t)) (fh_s (sh t) (ah t)) (X t) (Xh t)) as H1.
  pose proof (nrm_product N _ _ _ (f_a (s t) (a t)) (fh_a (sh t) (ah t)) (U t) (Uh t)) as H2.
  assert (H3 : norm (msub (fh_s (sh t) (ah t)) (f_s (s t) (a t))) * norm (Xh t) <= eps_s * norm (Xh t)).
  { apply Rmult_le_compat_r; [apply nrm_nonneg|apply H_eps_s]. }
  assert (H4 : norm (msub (fh_a (sh t) (ah t)) (f_a (s t) (a t))) * norm (Uh t) <= eps_a * norm (Uh t)).
  { apply Rmult_le_compat_r; [apply nrm_nonneg|apply H_eps_a]. }
  assert (H5 : norm (f_s (s t) (a t)) * norm (msub (Xh t) (X t)) <= l_s * D t).
  { apply Rmult_le_compat; try apply nrm_nonneg; [apply H_f_s|assumption]. }
  assert (H6 : norm (f_a (s t) (a t)) * norm (msub (Uh t) (U t)) <= l_a * (L_pi * D t + kappa t)).
  { apply Rmult_le_compat; try apply nrm_nonneg; [apply H_f_a|apply action_error, IH]. }
  simpl. unfold Lam. lra.
Qed.

Lemma reward_error n :
  norm (msub (reward_part sh Xh n) (reward_part s X n))
  <= psum (fun t => g ^ t * (norm (r_s (s t)) * D t + ell_r * e t * norm (Xh t))) n.
Proof.
  induction n as [|n IH]; simpl; [rewrite msub_self; lra|].
  eapply Rle_trans; [apply nrm_sum|]. apply Rplus_le_compat; [exact IH|].
  rewrite (nrm_ext N _ _ _ (mscal (g ^ n) (msub (mmul (r_s (sh n)) (Xh n)) (mmul (r_s (s n)) (X n)))))
    by (intros i j; unfold msub, mscal; ring).
  rewrite nrm_scal, Rabs_pos_eq by (apply pow_le; exact Hg).
  apply Rmult_le_compat_l; [apply pow_le; exact Hg|].
  pose proof (nrm_product N _ _ _ (r_s (s n)) (r_s (sh n)) (X n) (Xh n)) as H1.
  assert (H2 : norm (msub (r_s (sh n)) (r_s (s n))) <= ell_r * e n).
  { eapply Rle_trans; [apply H_ell_r|]. apply Rmult_le_compat_l; [assumption|apply state_error]. }
  assert (H3 : norm (msub (r_s (sh n)) (r_s (s n))) * norm (Xh n) <= ell_r * e n * norm (Xh n)).
  { apply Rmult_le_compat_r; [apply nrm_nonneg|assumption]. }
  assert (H4 : norm (r_s (s n)) * norm (msub (Xh n) (X n)) <= norm (r_s (s n)) * D n).
  { apply Rmult_le_compat_l; [apply nrm_nonneg|apply derivative_error]. }
  lra.
Qed.

(* LEMMA 4.1, corrected. The terms of t = 0 vanish, because e 0 = D 0 = 0. *)
Theorem maac_lemma_4_1 :
  norm (msub grad_Jh grad_J)
  <= psum (fun t => g ^ t * (norm (r_s (s t)) * D t + ell_r * e t * norm (Xh t))) H
     + g ^ H * (eps_Q * norm (stack (X H) (U H))
                + norm (Qh_x (sh H) (ah H)) * sqrt (D H ^ 2 + (L_pi * D H + kappa H) ^ 2)).
Proof.
  unfold grad_Jh, grad_J. eapply Rle_trans; [apply nrm_sum|].
  apply Rplus_le_compat; [apply reward_error|].
  rewrite (nrm_ext N _ _ _ (mscal (g ^ H) (msub (mmul (Qh_x (sh H) (ah H)) (stack (Xh H) (Uh H)))
                                               (mmul (Q_x (s H) (a H)) (stack (X H) (U H))))))
    by (intros i j; unfold msub, mscal; ring).
  rewrite nrm_scal, Rabs_pos_eq by (apply pow_le; exact Hg).
  apply Rmult_le_compat_l; [apply pow_le; exact Hg|].
  eapply Rle_trans; [apply nrm_product'|]. apply Rplus_le_compat.
  - apply Rmult_le_compat_r; [apply nrm_nonneg|exact H_eps_Q].
  - apply Rmult_le_compat_l; [apply nrm_nonneg|].
    rewrite (nrm_ext N _ _ _ (stack (msub (Xh H) (X H)) (msub (Uh H) (U H))))
      by (intros [i|i] j; reflexivity).
    eapply Rle_trans; [apply nrm_stack|]. apply sqrt_le_1_alt.
    pose proof (derivative_error H) as H1. pose proof (action_error H _ H1) as H2.
    apply Rplus_le_compat; apply pow_incr; split; try apply nrm_nonneg; assumption.
Qed.

(* the state error in closed form *)
Lemma e_closed t : e t = eps_0 * psum (fun k => Lam ^ k) t.
Proof.
  assert (Hs : forall n, psum (fun k => Lam ^ k) (S n) = 1 + Lam * psum (fun k => Lam ^ k) n).
  { induction n as [|n IH]; [simpl; ring|].
    change (psum (fun k => Lam ^ k) (S (S n))) with (psum (fun k => Lam ^ k) (S n) + Lam ^ S n).
    rewrite IH at 1. simpl. ring. }
  induction t as [|t IH]; [simpl; ring|]. rewrite Hs. simpl. rewrite IH. ring.
Qed.
End Lemma41.

(* ---------- the sum in the printed constant ---------- *)

(* The paper bounds the model term by sum_{t<H} (gamma K)^t (L^(t+1)-1)/(L-1) and gives its value as
   L/(L-1) (((gamma K L)^H - 1)/(gamma K L - 1) - ((gamma K)^H - 1)/(gamma K - 1)). With x = gamma K: *)
Theorem maac_sum x L n : x <> 1 -> x * L <> 1 -> L <> 1 ->
  psum (fun t => x ^ t * ((L ^ (t + 1) - 1) / (L - 1))) n
  = 1 / (L - 1) * (L * (((x * L) ^ n - 1) / (x * L - 1)) - (x ^ n - 1) / (x - 1)).
Proof.
  intros Hx HxL HL. rewrite <- (psum_geo x n Hx), <- (psum_geo (x * L) n HxL).
  induction n as [|k IH]; simpl; [field; lra|]. rewrite IH.
  replace (k + 1)%nat with (S k) by lia. rewrite Rpow_mult_distr. simpl. field. lra.
Qed.

(* the printed value is too small by exactly ((gamma K)^H - 1)/(gamma K - 1) *)
Theorem maac_printed_sum_gap x L n : x <> 1 -> x * L <> 1 -> L <> 1 ->
  psum (fun t => x ^ t * ((L ^ (t + 1) - 1) / (L - 1))) n
  - L / (L - 1) * (((x * L) ^ n - 1) / (x * L - 1) - (x ^ n - 1) / (x - 1))
  = (x ^ n - 1) / (x - 1).
Proof. intros. rewrite maac_sum by assumption. field. repeat split; lra. Qed.

(* ---------- the counterexample ---------- *)

(* f(s,a) = s + a, the model is one too high, a = theta, r(s) = s/(1+s^2), s_0 = 0, theta = 0, H = 2.
   Q is the action value of the policy theta = 0; Q^(s,a) = Q(s-2,a). *)
Section Counterexample.
Variable g : R.
Hypothesis Hg : 0 < g < 1.

Definition ce_r (s : R) : R := s / (1 + s ^ 2).
Definition ce_dr (s : R) : R := (1 - s ^ 2) / (1 + s ^ 2) ^ 2.
Definition ce_f (s a : R) : R := s + a.
Definition ce_fh (s a : R) : R := s + a + 1.
Definition ce_Q (s a : R) : R := ce_r s + g / (1 - g) * ce_r (s + a).
Definition ce_Qh (s a : R) : R := ce_Q (s - 2) a.

(* the trajectory from 0 under the policy a = theta *)
Fixpoint ce_s (f : R -> R -> R) (theta : R) (t : nat) : R :=
  match t with O => 0 | S k => f (ce_s f theta k) theta end.
(* sum_{t<H} g^t r(s_t) + g^H Q(s_H, a_H) *)
Definition ce_J (f Q : R -> R -> R) (H : nat) (theta : R) : R :=
  psum (fun t => g ^ t * ce_r (ce_s f theta t)) H + g ^ H * Q (ce_s f theta H) theta.

Local Notation lim := derivable_pt_lim.

Lemma lim_ext f h x l : (forall y, f y = h y) -> lim f x l -> lim h x l.
Proof.
  intros Heq Hf e He. destruct (Hf e He) as [d Hd]. exists d. intros t Ht1 Ht2.
  rewrite <- !Heq. apply Hd; assumption.
Qed.
Lemma lim_eq f x l l' : lim f x l -> l = l' -> lim f x l'.
Proof. intros H <-. exact H. Qed.
Lemma lim_plus f h x l m : lim f x l -> lim h x m -> lim (fun t => f t + h t) x (l + m).
Proof. exact (derivable_pt_lim_plus f h x l m). Qed.
Lemma lim_scal k f x l : lim f x l -> lim (fun t => k * f t) x (k * l).
Proof. exact (derivable_pt_lim_scal f k x l). Qed.
Lemma lim_affine k b x : lim (fun t => k * t + b) x k.
Proof.
  apply lim_eq with (k * 1 + 0); [|ring]. apply lim_plus; [|apply derivable_pt_lim_const].
  apply lim_scal. apply derivable_pt_lim_id.
Qed.

Lemma ce_pos s : 0 < 1 + s ^ 2.
Proof. pose proof (pow2_ge_0 s). lra. Qed.

Lemma lim_r x : lim ce_r x (ce_dr x).
Proof.
  pose proof (ce_pos x) as Hx.
  assert (H2 : lim (fun s => 1 + s ^ 2) x (0 + INR 2 * x ^ 1)).
  { apply (lim_plus (fun _ => 1)); [apply derivable_pt_lim_const|exact (derivable_pt_lim_pow x 2)]. }
  pose proof (derivable_pt_lim_div id (fun s => 1 + s ^ 2) x 1 _ (derivable_pt_lim_id x) H2
                (Rgt_not_eq _ _ Hx)) as H.
  eapply lim_eq; [exact H|]. unfold ce_dr, id, Rsqr. simpl. field. simpl in Hx. lra.
Qed.

Lemma lim_r_affine k b x : lim (fun t => ce_r (k * t + b)) x (ce_dr (k * x + b) * k).
Proof.
  exact (derivable_pt_lim_comp (fun t => k * t + b) ce_r x k _ (lim_affine k b x) (lim_r (k * x + b))).
Qed.

(* the partial derivatives of Q *)
Lemma lim_Q_s a s : lim (fun x => ce_Q x a) s (ce_dr s + g / (1 - g) * ce_dr (s + a)).
Proof.
  apply lim_plus; [apply lim_r|]. apply lim_scal.
  apply lim_ext with (fun x => ce_r (1 * x + a)); [intro; f_equal; ring|].
  eapply lim_eq; [apply lim_r_affine|]. rewrite Rmult_1_l. ring.
Qed.
Lemma lim_Q_a s a : lim (fun x => ce_Q s x) a (g / (1 - g) * ce_dr (s + a)).
Proof.
  apply lim_eq with (0 + g / (1 - g) * ce_dr (s + a)); [|ring].
  apply (lim_plus (fun _ => ce_r s)); [apply derivable_pt_lim_const|]. apply lim_scal.
  apply lim_ext with (fun x => ce_r (1 * x + s)); [intro; f_equal; ring|].
  eapply lim_eq; [apply lim_r_affine|]. rewrite Rmult_1_l, Rmult_1_r, (Rplus_comm a s). reflexivity.
Qed.
Lemma lim_Qh_s a s : lim (fun x => ce_Qh x a) s (ce_dr (s - 2) + g / (1 - g) * ce_dr (s - 2 + a)).
Proof.
  pose proof (derivable_pt_lim_comp (fun t => 1 * t + (-2)) (fun x => ce_Q x a) s 1 _
                (lim_affine 1 (-2) s) (lim_Q_s a (1 * s + (-2)))) as H.
  apply lim_ext with (comp (fun x => ce_Q x a) (fun t => 1 * t + -2)).
  - intro y. unfold comp, ce_Qh. f_equal. ring.
  - eapply lim_eq; [exact H|]. replace (1 * s + -2) with (s - 2) by ring. ring.
Qed.

Lemma lim_J : lim (ce_J ce_f ce_Q 2) 0
  (g * ce_dr 0 + g ^ 2 * (2 * ce_dr 0 + g / (1 - g) * (3 * ce_dr 0))).
Proof.
  apply lim_ext with (fun t => ce_r 0 + (g * ce_r (1 * t + 0)
    + g ^ 2 * (ce_r (2 * t + 0) + g / (1 - g) * ce_r (3 * t + 0)))).
  - intro t. unfold ce_J, ce_Q, ce_f. simpl.
    replace (0 + t + t + t) with (3 * t + 0) by ring. replace (0 + t + t) with (2 * t + 0) by ring.
    replace (0 + t) with (1 * t + 0) by ring. ring.
  - eapply lim_eq.
    + apply (lim_plus (fun _ => ce_r 0)); [apply derivable_pt_lim_const|].
      apply lim_plus; [apply lim_scal, lim_r_affine|]. apply lim_scal.
      apply lim_plus; [apply lim_r_affine|apply lim_scal, lim_r_affine].
    + replace (1 * 0 + 0) with 0 by ring. replace (2 * 0 + 0) with 0 by ring.
      replace (3 * 0 + 0) with 0 by ring. ring.
Qed.

Lemma lim_Jh : lim (ce_J ce_fh ce_Qh 2) 0
  (g * ce_dr 1 + g ^ 2 * (2 * ce_dr 0 + g / (1 - g) * (3 * ce_dr 0))).
Proof.
  apply lim_ext with (fun t => ce_r 0 + (g * ce_r (1 * t + 1)
    + g ^ 2 * (ce_r (2 * t + 0) + g / (1 - g) * ce_r (3 * t + 0)))).
  - intro t. unfold ce_J, ce_Qh, ce_Q, ce_fh. simpl.
    replace (0 + t + 1 + t + 1 - 2 + t) with (3 * t + 0) by ring.
    replace (0 + t + 1 + t + 1 - 2) with (2 * t + 0) by ring.
    replace (0 + t + 1) with (1 * t + 1) by ring. ring.
  - eapply lim_eq.
    + apply (lim_plus (fun _ => ce_r 0)); [apply derivable_pt_lim_const|].
      apply lim_plus; [apply lim_scal, lim_r_affine|]. apply lim_scal.
      apply lim_plus; [apply lim_r_affine|apply lim_scal, lim_r_affine].
    + replace (1 * 0 + 1) with 1 by ring. replace (2 * 0 + 0) with 0 by ring.
      replace (3 * 0 + 0) with 0 by ring. ring.
Qed.

(* The derivatives of model and critic have no error, the gradient is off by g. *)
Theorem maac_lemma_4_1_printed_fails :
  (* Q is the action value of the policy a = 0 *)
  (forall s a, ce_Q s a = ce_r s + g * ce_Q (ce_f s a) 0) /\
  (* eps_f = 0: all partial derivatives of f and of the model are 1 *)
  (forall s a, lim (fun x => ce_f x a) s 1 /\ lim (fun x => ce_fh x a) s 1 /\
               lim (fun x => ce_f s x) a 1 /\ lim (fun x => ce_fh s x) a 1) /\
  (* eps_Q = 0: at the ends of the two trajectories, Q and Q^ have the same partial derivatives *)
  (exists q_s q_a,
     lim (fun x => ce_Q x 0) (ce_s ce_f 0 2) q_s /\ lim (fun x => ce_Qh x 0) (ce_s ce_fh 0 2) q_s /\
     lim (fun x => ce_Q (ce_s ce_f 0 2) x) 0 q_a /\ lim (fun x => ce_Qh (ce_s ce_fh 0 2) x) 0 q_a) /\
  (* the gradients differ by g *)
  exists dJ dJh, lim (ce_J ce_f ce_Q 2) 0 dJ /\ lim (ce_J ce_fh ce_Qh 2) 0 dJh /\ Rabs (dJ - dJh) = g.
Proof.
  assert (H2 : ce_s ce_f 0 2 = 0) by (simpl; unfold ce_f; ring).
  assert (H2h : ce_s ce_fh 0 2 = 2) by (simpl; unfold ce_fh; ring).
  split; [|split; [|split]].
  - intros s a. unfold ce_Q, ce_f. rewrite Rplus_0_r. field. lra.
  - intros s a. repeat split.
    + apply lim_ext with (fun x => 1 * x + a); [intro; unfold ce_f; ring|apply lim_affine].
    + apply lim_ext with (fun x => 1 * x + (a + 1)); [intro; unfold ce_fh; ring|apply lim_affine].
    + apply lim_ext with (fun x => 1 * x + s); [intro; unfold ce_f; ring|apply lim_affine].
    + apply lim_ext with (fun x => 1 * x + (s + 1)); [intro; unfold ce_fh; ring|apply lim_affine].
  - rewrite H2, H2h.
    exists (ce_dr 0 + g / (1 - g) * ce_dr (0 + 0)), (g / (1 - g) * ce_dr (0 + 0)).
    split; [|split; [|split]].
    + apply lim_Q_s.
    + eapply lim_eq; [apply lim_Qh_s|]. replace (2 - 2) with 0 by ring. reflexivity.
    + apply lim_Q_a.
    + unfold ce_Qh. replace (2 - 2) with 0 by ring. apply lim_Q_a.
  - exists (g * ce_dr 0 + g ^ 2 * (2 * ce_dr 0 + g / (1 - g) * (3 * ce_dr 0))),
           (g * ce_dr 1 + g ^ 2 * (2 * ce_dr 0 + g / (1 - g) * (3 * ce_dr 0))).
    split; [apply lim_J|]. split; [apply lim_Jh|].
    assert (H0 : ce_dr 0 = 1) by (unfold ce_dr; field). assert (H1 : ce_dr 1 = 0) by (unfold ce_dr; field).
    rewrite H0, H1.
    match goal with |- Rabs ?x = g => replace x with g by ring end. apply Rabs_pos_eq. lra.
Qed.
End Counterexample.
