(* POLO (Lowrey et al. 2019), Lemma 1, equation (2); see 03-polo-lemma-1.md.

   Printed: the greedy policy of V^ with max_s |V^(s) - V*(s)| = eps has, in the worst case,
   J(pi* ) - J(pi^) = Theta(gamma eps / (1 - gamma)). Here: the constant is 2, and it is attained in the
   limit, from every start state at once. *)

Require Import Reals Lra Lia FiniteSpace Discounted Mdp T01_mopac_theorem_1.
Open Scope R_scope.

(* The greedy policy is receding play with H = 1. *)
Theorem polo_lemma_1 (K : task) (P : dynamics K) (Vh : state K -> R) (eps : R) (pi : policy K) :
  (forall s, Rabs (Vh s - Vstar P s) <= eps) -> receding P 1 Vh pi ->
  forall s, Vstar P s - value P pi s <= 2 * gamma K * eps / (1 - gamma K).
Proof.
  intros HV Hpi s. pose proof (gamma_range K) as Hg.
  assert (HP : forall x a, TV (P x a) (P x a) <= 0) by (intros; rewrite TV_refl; lra).
  pose proof (mopac_theorem_1_receding K P P Vh 1 _ _ 0 eps (le_n 1) rewards_bounded HP HV pi Hpi s) as H.
  replace (2 * gamma K * eps / (1 - gamma K))
    with (2 * gamma K ^ 1 * eps / (1 - gamma K) + 2 * gamma K * 0 * (2 * @reward_size K) / (1 - gamma K) ^ 2)
    by (field; lra).
  exact H.
Qed.

(* ---------- tightness ---------- *)

(* From either state, action true leads to state true at no cost, action false to state false at cost
   c. Never paying is optimal; V^ = +eps in state false makes paying look better. *)
Section Tight.
Variables (g eps c : R).
Hypothesis Hg : 0 < g < 1.
Hypothesis Hc : 0 <= c < 2 * g * eps.

Lemma t_range : 0 <= g < 1. Proof. lra. Qed.
Definition pay : task := Task two two false (fun _ a => if a then 0 else - c) g t_range.
Definition pay_P : dynamics pay := fun _ a => dirac (X := two) a.
Definition pay_V : two -> R := fun s => if s then - eps else eps.

Lemma pay_Q V s a : Q pay_P V s a = (if a then 0 else - c) + g * V a.
Proof. unfold Q, pay_P. rewrite E_dirac. reflexivity. Qed.

Lemma pay_Vstar s : Vstar pay_P s = 0.
Proof.
  symmetry. apply (Vstar_unique pay_P (fun _ => 0)). intro x. symmetry.
  apply (best_eq (X := two) _ _ _ true); [intros []|]; rewrite pay_Q; lra.
Qed.

Lemma pay_loss pi : receding pay_P 1 pay_V pi -> forall s, value pay_P pi s = - c / (1 - g).
Proof.
  intros Hpi s. pose proof (receding_greedy pay_P 0 pay_V pi Hpi) as Hgr. simpl in Hgr.
  assert (H0 : forall x, mass (X := two) (pi x) true = 0).
  { intro x. apply (E_strict (pi x) (Q pay_P pay_V x) (T pay_P pay_V x)).
    - intro a. apply best_ge.
    - apply Hgr.
    - apply Rlt_le_trans with (Q pay_P pay_V x false); [|exact (best_ge (X := two) _ _ false)].
      rewrite !pay_Q. simpl. lra. }
  symmetry. apply (value_unique pay_P pi (fun _ => - c / (1 - g))). intro x. unfold backup.
  rewrite (E_two (pi x)), !pay_Q, H0.
  assert (H1 : mass (X := two) (pi x) false = 1).
  { pose proof (mass_sum (X := two) (pi x)) as Hs. rewrite sum_two, H0 in Hs. lra. }
  rewrite H1. field. lra.
Qed.
End Tight.

Theorem polo_lemma_1_tight (g eps rho : R) : 0 < g < 1 -> 0 < eps -> rho < 1 ->
  exists (K : task) (P : dynamics K) (Vh : state K -> R),
    gamma K = g /\ (forall s, Rabs (Vh s - Vstar P s) <= eps) /\
    forall pi, receding P 1 Vh pi ->
    forall s, rho * (2 * g * eps / (1 - g)) < Vstar P s - value P pi s.
Proof.
  intros Hg He Hrho. destruct (near_one rho Hrho) as [r [Hr Hrr]].
  assert (Hge : 0 < 2 * g * eps) by (repeat apply Rmult_lt_0_compat; lra).
  assert (Hc : 0 <= r * (2 * g * eps) < 2 * g * eps) by (split; [apply Rmult_le_pos; lra|nra]).
  exists (pay g (r * (2 * g * eps)) Hg), (pay_P g (r * (2 * g * eps)) Hg), (pay_V eps).
  split; [reflexivity|]. split.
  - intro s. rewrite (pay_Vstar g eps _ Hg Hc). unfold pay_V. destruct s; apply Rabs_le; lra.
  - intros pi Hpi s. rewrite (pay_Vstar g eps _ Hg Hc), (pay_loss g eps _ Hg Hc pi Hpi).
    assert (Hb : 0 < 2 * g * eps / (1 - g)) by (apply Rdiv_lt_0_compat; lra).
    replace (0 - - (r * (2 * g * eps)) / (1 - g)) with (r * (2 * g * eps / (1 - g))) by (field; lra).
    apply Rmult_lt_compat_r; assumption.
Qed.
