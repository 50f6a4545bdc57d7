(* M-DeMoRL (Mishra et al. 2022), Lemma 1; see 05-demorl-lemma-1.md.

   Printed, for one control distribution eta in the model (J) and in the real system (J_r), with costs
   |c| <= c_max, terminal values |V| <= V_max and an error eps_f of the dynamics:

     J(eta) - J_r(eta) <= 2 c_max ((H-1) g^(H+1) - H g^H + g)/(1-g)^2 eps_f + g^H 2 V_max H eps_f.

   Here: true in total variation, from both sides, and for every play, open loop or closed loop. *)

Require Import Reals Lra Lia FiniteSpace Discounted Series Mdp.
Open Scope R_scope.

Section Lemma1.
Variables (K : task) (c_max V_max eps_f : R) (V : state K -> R).
Hypothesis Hcost : forall (s : state K) (a : action K), Rabs (reward s a) <= c_max.
Hypothesis Hterm : forall s, Rabs (V s) <= V_max.
Let g := gamma K.

(* R_{f,H}, as printed *)
Definition R_fH (H : nat) : R :=
  2 * c_max * (((INR H - 1) * g ^ (H + 1) - INR H * g ^ H + g) / (1 - g) ^ 2) * eps_f
  + g ^ H * 2 * V_max * INR H * eps_f.

(* n steps and what comes after are at most this large *)
Let size n := c_max * psum (fun k => g ^ k) n + g ^ n * V_max.
(* the error after n steps, as a sum over the step at which the state goes astray *)
Let err n := 2 * c_max * psum (fun h => INR h * g ^ h) n * eps_f + g ^ n * 2 * V_max * INR n * eps_f.

Lemma gr : 0 <= g < 1. Proof. apply gamma_range. Qed.

Lemma err_closed n : err n = R_fH n.
Proof. unfold err, R_fH. rewrite psum_index_geo by (pose proof gr; lra). reflexivity. Qed.

Lemma psum_index_step n :
  psum (fun h => INR h * g ^ h) (S n) = g * psum (fun h => INR h * g ^ h) n + g * psum (fun k => g ^ k) n.
Proof.
  induction n as [|n IH].
  - simpl. ring.
  - change (psum (fun h => INR h * g ^ h) (S (S n)))
      with (psum (fun h => INR h * g ^ h) (S n) + INR (S n) * g ^ S n).
    rewrite IH at 1.
    change (psum (fun h => INR h * g ^ h) (S n)) with (psum (fun h => INR h * g ^ h) n + INR n * g ^ n).
    change (psum (fun k => g ^ k) (S n)) with (psum (fun k => g ^ k) n + g ^ n).
    rewrite S_INR. simpl pow. ring.
Qed.

Lemma err_step n : err (S n) = g * err n + g * (eps_f * (2 * size n)).
Proof. unfold err, size. rewrite psum_index_step, S_INR. simpl pow. ring. Qed.

Lemma rollout_size (P : dynamics K) p n s : Rabs (rollout P p n V s) <= size n.
Proof.
  revert p s. induction n as [|n IH]; intros p s.
  - unfold size. simpl. pose proof (Hterm s). lra.
  - simpl. unfold backup. pose proof gr as Hg.
    assert (HQ : forall a, Rabs (Q P (rollout P (fun t => p (S t)) n V) s a) <= size (S n)).
    { intro a. unfold Q. fold g. pose proof (abs_le _ _ (Hcost s a)).
      assert (HE : - size n <= E (P s a) (rollout P (fun t => p (S t)) n V) <= size n).
      { split; [apply E_lower|apply E_upper]; intro x;
          pose proof (abs_le _ _ (IH (fun t => p (S t)) x)); lra. }
      assert (Hs : size (S n) = c_max + g * size n).
      { unfold size. simpl psum. simpl pow.
        replace (psum (fun k => g ^ k) n + g ^ n) with (1 + g * psum (fun k => g ^ k) n); [ring|].
        clear. induction n as [|n IH]; simpl in *; lra. }
      rewrite Hs. set (x := E _ _) in *.
      assert (g * - size n <= g * x <= g * size n) by (split; apply Rmult_le_compat_l; lra).
      apply Rabs_le. lra. }
    apply Rabs_le. split; [apply E_lower|apply E_upper]; intro a; pose proof (abs_le _ _ (HQ a)); lra.
Qed.

Lemma one_sided (P Ph : dynamics K) p n :
  (forall s a, TV (P s a) (Ph s a) <= eps_f) ->
  forall s, rollout P p n V s <= rollout Ph p n V s + err n.
Proof.
  intro Hmodel. pose proof gr as Hg. revert p. induction n as [|n IH]; intros p s.
  - unfold err. simpl. lra.
  - simpl. rewrite err_step.
    assert (He : 0 <= eps_f).
    { pose proof (Hmodel s (some_action K)). pose proof (TV_nonneg (P s (some_action K)) (Ph s (some_action K))). lra. }
    assert (HC : 0 <= c_max).
    { pose proof (Hcost s (some_action K)). pose proof (Rabs_pos (reward s (some_action K))). lra. }
    assert (HV : 0 <= V_max) by (pose proof (Hterm s); pose proof (Rabs_pos (V s)); lra).
    assert (Hgn : forall k, 0 <= g ^ k) by (intro; apply pow_le; lra).
    assert (Hs : 0 <= size n).
    { unfold size. apply Rplus_le_le_0_compat; apply Rmult_le_pos; auto. apply psum_nonneg. auto. }
    assert (Herr : 0 <= err n).
    { unfold err. apply Rplus_le_le_0_compat; repeat apply Rmult_le_pos; auto using pos_INR; try lra.
      apply psum_nonneg. intro k. apply Rmult_le_pos; [apply pos_INR|auto]. }
    pose proof (backup_discounted P (p 0%nat) _ _ _ Herr (IH (fun t => p (S t))) s) as H1. fold g in H1.
    assert (H2 : backup P (p 0%nat) (rollout Ph (fun t => p (S t)) n V) s
                 <= backup Ph (p 0%nat) (rollout Ph (fun t => p (S t)) n V) s + g * (eps_f * (2 * size n))).
    { apply E_shift. intro a. unfold Q. fold g.
      assert (Hin : forall x, - size n <= rollout Ph (fun t => p (S t)) n V x <= - size n + 2 * size n).
      { intro x. pose proof (abs_le _ _ (rollout_size Ph (fun t => p (S t)) n x)). lra. }
      pose proof (TV_swap (P s a) (Ph s a) _ _ _ Hin) as Hsw.
      assert (TV (P s a) (Ph s a) * (2 * size n) <= eps_f * (2 * size n)).
      { apply Rmult_le_compat_r; [lra|apply Hmodel]. }
      assert (g * E (P s a) (rollout Ph (fun t => p (S t)) n V)
              <= g * (E (Ph s a) (rollout Ph (fun t => p (S t)) n V) + eps_f * (2 * size n))).
      { apply Rmult_le_compat_l; lra. }
      lra. }
    lra.
Qed.

(* LEMMA 1. The reward of the task is read as the cost; p may depend on the state or not. *)
Theorem demorl_lemma_1 (P Ph : dynamics K) (p : nat -> policy K) (H : nat) :
  (forall s a, TV (P s a) (Ph s a) <= eps_f) ->
  forall s, Rabs (rollout Ph p H V s - rollout P p H V s) <= R_fH H.
Proof.
  intros Hmodel s. rewrite <- err_closed.
  assert (Hsym : forall s a, TV (Ph s a) (P s a) <= eps_f) by (intros; rewrite TV_sym; apply Hmodel).
  pose proof (one_sided P Ph p H Hmodel s). pose proof (one_sided Ph P p H Hsym s).
  apply Rabs_le. lra.
Qed.
End Lemma1.
