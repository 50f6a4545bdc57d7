(* POLO (Lowrey et al. 2019), Lemma 2, equation (4); see 04-polo-lemma-2.md.

   Printed, with max_s |V^(s) - V*(s)| = eps:

     J(pi* ) - J(pi_MPC) <= 2 gamma^H eps / (1 - gamma^H).

   Here: true for a plan that is executed for H steps; false, for every H >= 2 and every discount, for
   the policy that the paper defines, which plans anew at every step; and what holds for that one. *)

Require Import Reals Lra Lia List FiniteSpace Discounted Mdp T01_mopac_theorem_1.
Require Fin FinFun.
Import ListNotations.
Open Scope R_scope.

Section Lemma2.
Variables (K : task) (P : dynamics K) (Vh : state K -> R) (H : nat) (eps : R).
Hypothesis HH : (1 <= H)%nat.
Hypothesis HV : forall s, Rabs (Vh s - Vstar P s) <= eps.
Let g := gamma K.

Lemma exact_model x a : TV (P x a) (P x a) <= 0.
Proof. rewrite TV_refl. lra. Qed.

(* as printed, for executed-H play *)
Theorem polo_lemma_2_executed (plan : state K -> nat -> policy K) :
  (forall s, optimal_plan P H Vh s (plan s)) ->
  forall s, Vstar P s - executed_value P plan H HH s <= 2 * g ^ H * eps / (1 - g ^ H).
Proof.
  intros Hplan s. pose proof (gamma_range K) as Hg. fold g in Hg.
  pose proof (horizon_range (K := K) H HH) as HgH. fold g in HgH.
  pose proof (mopac_theorem_1_executed K P P Vh H _ _ 0 eps HH rewards_bounded exact_model HV plan Hplan s) as Hs.
  fold g in Hs.
  replace (2 * g ^ H * eps / (1 - g ^ H))
    with (2 * g ^ H * eps / (1 - g ^ H) + 2 * g * 0 * (2 * @reward_size K) / (1 - g) ^ 2) by (field; lra).
  exact Hs.
Qed.

(* corrected, for receding play *)
Theorem polo_lemma_2_receding (pi : policy K) :
  receding P H Vh pi ->
  forall s, Vstar P s - value P pi s <= 2 * g ^ H * eps / (1 - g).
Proof.
  intros Hpi s. pose proof (gamma_range K) as Hg. fold g in Hg.
  pose proof (mopac_theorem_1_receding K P P Vh H _ _ 0 eps HH rewards_bounded exact_model HV pi Hpi s) as Hs.
  fold g in Hs.
  replace (2 * g ^ H * eps / (1 - g))
    with (2 * g ^ H * eps / (1 - g) + 2 * g * 0 * (2 * @reward_size K) / (1 - g) ^ 2) by (field; lra).
  exact Hs.
Qed.
End Lemma2.

(* ---------- the counterexample ---------- *)

(* the n points 0, 1, ..., n-1 *)
Fixpoint all_fin (n : nat) : list (Fin.t n) :=
  match n with O => [] | S m => Fin.F1 :: map Fin.FS (all_fin m) end.

Lemma all_fin_all n (x : Fin.t n) : In x (all_fin n).
Proof. induction x as [m|m x IH]; simpl; [left; reflexivity|right; apply in_map, IH]. Qed.

Lemma all_fin_once n : NoDup (all_fin n).
Proof.
  induction n as [|n IH]; simpl; constructor.
  - intro H. apply in_map_iff in H. destruct H as [y [Hy _]]. discriminate.
  - apply FinFun.Injective_map_NoDup; [|exact IH]. intros x y. apply Fin.FS_inj.
Qed.

Definition fin (n : nat) : space := Space (Fin.t n) (all_fin n) (all_fin_all n) (all_fin_once n) Fin.eq_dec.

Definition idx {n} (x : Fin.t n) : nat := proj1_sig (Fin.to_nat x).
Definition next {m} (x : Fin.t (S m)) : Fin.t (S m) :=
  Fin.of_nat_lt (Nat.mod_upper_bound (S (idx x)) (S m) (Nat.neq_succ_0 m)).

Lemma idx_lt {n} (x : Fin.t n) : (idx x < n)%nat.
Proof. exact (proj2_sig (Fin.to_nat x)). Qed.

Lemma idx_next {m} (x : Fin.t (S m)) :
  idx (next x) = if Nat.eqb (idx x) m then O else S (idx x).
Proof.
  unfold idx at 1, next. rewrite Fin.to_nat_of_nat. cbv beta iota delta [proj1_sig].
  pose proof (idx_lt x).
  destruct (Nat.eqb_spec (idx x) m) as [Hx|Hne].
  - rewrite Hx. apply Nat.mod_same. lia.
  - apply Nat.mod_small. lia.
Qed.

(* A ring of H = m+1 states without rewards. In state 0 one may stay, at cost c, or go; in the others
   one goes. V^ is -eps in state 0 and +eps elsewhere: who leaves state 0 now is back there after
   exactly H steps, and who stays once more is not. *)
Section Ring.
Variables (m : nat) (g eps c : R).
Hypothesis Hm : (1 <= m)%nat.
Hypothesis Hg : 0 < g < 1.
Hypothesis Hc : 0 <= c < 2 * g ^ S m * eps.

Definition at_0 (x : Fin.t (S m)) : bool := Nat.eqb (idx x) 0.

Lemma ring_range : 0 <= g < 1. Proof. lra. Qed.
Definition ring_task : task :=
  Task (fin (S m)) two false (fun x (stay : two) => if at_0 x then (if stay then - c else 0) else 0) g ring_range.
Definition ring_P : dynamics ring_task :=
  fun x (stay : two) => dirac (X := fin (S m)) (if at_0 x then (if stay then x else next x) else next x).
Definition ring_V : fin (S m) -> R := fun x => if at_0 x then - eps else eps.

Let W n : fin (S m) -> R := iterate n (T ring_P) ring_V.

Lemma eps_pos : 0 < eps.
Proof.
  assert (Hp : 0 < g ^ S m) by (apply pow_lt; lra).
  destruct (Rlt_le_dec 0 eps) as [|Hn]; [assumption|exfalso].
  assert (0 <= 2 * g ^ S m * (- eps)) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma ring_Q V (x : Fin.t (S m)) (stay : bool) :
  Q ring_P V x stay = if at_0 x then (if stay then - c + g * V x else 0 + g * V (next x)) else 0 + g * V (next x).
Proof. unfold Q, ring_P. rewrite E_dirac. simpl. destruct (at_0 x), stay; reflexivity. Qed.

Lemma ring_Vstar x : Vstar ring_P x = 0.
Proof.
  symmetry. apply (Vstar_unique ring_P (fun _ => 0)). clear x. intro x. symmetry.
  apply (best_eq (X := two) _ _ _ false); [intro a|]; rewrite ring_Q; destruct (at_0 x);
    try destruct a; lra.
Qed.

(* from a state other than 0, n steps lead on along the ring, and no further than to state 0 *)
Lemma ring_go n (x : Fin.t (S m)) : (1 <= idx x)%nat -> (idx x + n <= S m)%nat ->
  W n x = g ^ n * (if Nat.eqb (idx x + n) (S m) then - eps else eps).
Proof.
  revert x. induction n as [|n IH]; intros x Hx Hn; pose proof (idx_lt x) as Hlt.
  - unfold W. simpl. unfold ring_V, at_0.
    destruct (Nat.eqb_spec (idx x) 0) as [H0|_]; [lia|].
    destruct (Nat.eqb_spec (idx x + 0) (S m)) as [H0|_]; [lia|]. ring.
  - assert (Hat : at_0 x = false) by (unfold at_0; apply Nat.eqb_neq; lia).
    assert (HW : W (S n) x = g * W n (next x)).
    { change (W (S n) x) with (T ring_P (W n) x). apply (best_eq (X := two) _ _ _ false); [intro a|];
        rewrite ring_Q, Hat; lra. }
    rewrite HW. pose proof (idx_next x) as Hnx.
    destruct (Nat.eqb_spec (idx x) m) as [Hxm|Hxm].
    + assert (n = 0)%nat as -> by lia. unfold W. simpl. unfold ring_V, at_0. rewrite Hnx. simpl.
      destruct (Nat.eqb_spec (idx x + 1) (S m)) as [_|H0]; [|lia]. ring.
    + rewrite IH by lia. rewrite Hnx. replace (S (idx x) + n)%nat with (idx x + S n)%nat by lia.
      simpl. ring.
Qed.

Definition zero : Fin.t (S m) := Fin.F1.
Lemma idx_zero : idx zero = 0%nat. Proof. reflexivity. Qed.
Lemma at_zero : at_0 zero = true. Proof. reflexivity. Qed.
Lemma idx_one : idx (next zero) = 1%nat.
Proof. rewrite idx_next, idx_zero. destruct (Nat.eqb_spec 0 m); [lia|reflexivity]. Qed.

(* from state 0, going at once, n steps end in a state other than 0 *)
Lemma ring_leave n : (1 <= n <= m)%nat -> g ^ n * eps <= W n zero.
Proof.
  intro Hn. destruct n as [|k]; [lia|].
  change (W (S k) zero) with (T ring_P (W k) zero).
  apply Rle_trans with (Q ring_P (W k) zero false); [|exact (best_ge (X := two) _ (Q ring_P (W k) zero) false)].
  rewrite ring_Q, at_zero, ring_go; rewrite idx_one; [|lia|lia].
  destruct (Nat.eqb_spec (1 + k) (S m)) as [H0|_]; [lia|]. simpl. lra.
Qed.

Lemma ring_prefers : Q ring_P (W m) zero false < T ring_P (W m) zero.
Proof.
  apply Rlt_le_trans with (Q ring_P (W m) zero true); [|exact (best_ge (X := two) _ (Q ring_P (W m) zero) true)].
  rewrite !ring_Q, at_zero.
  assert (Hback : W m (next zero) = g ^ m * - eps).
  { rewrite ring_go; rewrite idx_one; [|lia|lia]. rewrite Nat.eqb_refl. reflexivity. }
  assert (Hstay : g ^ m * eps <= W m zero) by (apply ring_leave; lia).
  rewrite Hback. assert (H1 : g * (g ^ m * eps) <= g * W m zero) by (apply Rmult_le_compat_l; lra).
  change (g ^ S m) with (g * g ^ m) in Hc. lra.
Qed.

Lemma ring_loss pi : receding ring_P (S m) ring_V pi -> value ring_P pi zero = - c / (1 - g).
Proof.
  intro Hpi. pose proof (receding_greedy ring_P m ring_V pi Hpi zero) as Hgr.
  assert (H0 : mass (X := two) (pi zero) false = 0).
  { apply (E_strict (pi zero) (Q ring_P (W m) zero) (T ring_P (W m) zero)).
    - intro a. apply best_ge.
    - exact Hgr.
    - exact ring_prefers. }
  assert (H1 : mass (X := two) (pi zero) true = 1).
  { pose proof (mass_sum (X := two) (pi zero)) as Hs. rewrite sum_two in Hs. lra. }
  pose proof (value_fixed ring_P pi zero) as Hf. unfold backup in Hf.
  rewrite (E_two (pi zero)), !ring_Q, at_zero, H0, H1 in Hf.
  apply (Rmult_eq_reg_r (1 - g)); [|lra]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.
End Ring.

(* A chain 0 -> 1 -> ... -> m without rewards, H = m+1. Its last state leads back to state 0, at cost c,
   where V^ = +eps, or to an absorbing state m+1 without reward, where V^ = -eps. *)
Section Chain.
Variables (m : nat) (g eps c : R).
Hypothesis Hg : 0 < g < 1.
Hypothesis Hc : 0 <= c < 2 * g * eps.

Definition at_n (x : Fin.t (S (S m))) (k : nat) : bool := Nat.eqb (idx x) k.
Definition state_n (k : nat) : Fin.t (S (S m)) :=
  Fin.of_nat_lt (Nat.mod_upper_bound k (S (S m)) (Nat.neq_succ_0 (S m))).
Lemma idx_state_n k : (k <= S m)%nat -> idx (state_n k) = k.
Proof.
  intro Hk. unfold idx, state_n. rewrite Fin.to_nat_of_nat. cbv beta iota delta [proj1_sig].
  apply Nat.mod_small. lia.
Qed.

Lemma chain_range : 0 <= g < 1. Proof. lra. Qed.
Definition chain_task : task :=
  Task (fin (S (S m))) two false (fun x (back : two) => if at_n x m then (if back then - c else 0) else 0)
    g chain_range.
Definition chain_next (x : Fin.t (S (S m))) (back : bool) : Fin.t (S (S m)) :=
  if at_n x (S m) then x
  else if at_n x m then (if back then state_n 0 else state_n (S m))
  else state_n (S (idx x)).
Definition chain_P : dynamics chain_task := fun x (back : two) => dirac (X := fin (S (S m))) (chain_next x back).
Definition chain_V : fin (S (S m)) -> R := fun x => if at_n x (S m) then - eps else eps.

Lemma chain_Q V (x : Fin.t (S (S m))) (back : bool) :
  Q chain_P V x back = (if at_n x m then (if back then - c else 0) else 0) + g * V (chain_next x back).
Proof. unfold Q, chain_P. rewrite E_dirac. reflexivity. Qed.

Lemma chain_Vstar x : Vstar chain_P x = 0.
Proof.
  symmetry. apply (Vstar_unique chain_P (fun _ => 0)). clear x. intro x. symmetry.
  apply (best_eq (X := two) _ _ _ false); [intro a|]; rewrite chain_Q; destruct (at_n x m);
    try destruct a; lra.
Qed.

(* whoever follows an optimal plan to the end of the chain pays and goes back *)
Lemma chain_plan n p (x : Fin.t (S (S m))) V : (idx x + n = m)%nat ->
  rollout chain_P p (S n) chain_V x = iterate (S n) (T chain_P) chain_V x ->
  rollout chain_P p (S n) V x = g ^ n * (- c + g * V (state_n 0)).
Proof.
  revert p x. induction n as [|n IH]; intros p x Hx Hp.
  - change (backup chain_P (p 0%nat) chain_V x = T chain_P chain_V x) in Hp.
    change (backup chain_P (p 0%nat) V x = g ^ 0 * (- c + g * V (state_n 0))).
    assert (Hat : at_n x m = true) by (unfold at_n; apply Nat.eqb_eq; lia).
    assert (Hend : at_n x (S m) = false) by (unfold at_n; apply Nat.eqb_neq; lia).
    assert (HQ : forall V' back, Q chain_P V' x back
                   = if back then - c + g * V' (state_n 0) else 0 + g * V' (state_n (S m))).
    { intros V' back. rewrite chain_Q. unfold chain_next. rewrite Hat, Hend. destruct back; reflexivity. }
    assert (H0 : mass (X := two) (p 0%nat x) false = 0).
    { apply (E_strict (p 0%nat x) (Q chain_P chain_V x) (T chain_P chain_V x)).
      - intro a. apply best_ge.
      - exact Hp.
      - apply Rlt_le_trans with (Q chain_P chain_V x true);
          [|exact (best_ge (X := two) _ (Q chain_P chain_V x) true)].
        rewrite !HQ. unfold chain_V, at_n. rewrite !idx_state_n by lia. rewrite Nat.eqb_refl. simpl. lra. }
    assert (H1 : mass (X := two) (p 0%nat x) true = 1).
    { pose proof (mass_sum (X := two) (p 0%nat x)) as Hs. rewrite sum_two in Hs. lra. }
    unfold backup. rewrite (E_two (p 0%nat x)), !HQ, H0, H1. simpl. ring.
  - change (backup chain_P (p 0%nat) (rollout chain_P (fun t => p (S t)) (S n) chain_V) x
            = T chain_P (iterate (S n) (T chain_P) chain_V) x) in Hp.
    change (backup chain_P (p 0%nat) (rollout chain_P (fun t => p (S t)) (S n) V) x
            = g ^ S n * (- c + g * V (state_n 0))).
    assert (Hat : at_n x m = false) by (unfold at_n; apply Nat.eqb_neq; lia).
    assert (Hend : at_n x (S m) = false) by (unfold at_n; apply Nat.eqb_neq; lia).
    assert (HQ : forall V' back, Q chain_P V' x back = g * V' (state_n (S (idx x)))).
    { intros V' back. rewrite chain_Q. unfold chain_next. rewrite Hat, Hend. ring. }
    assert (HB : forall V', backup chain_P (p 0%nat) V' x = g * V' (state_n (S (idx x)))).
    { intro V'. unfold backup. rewrite (E_ext _ _ (fun _ => g * V' (state_n (S (idx x))))).
      - apply E_const.
      - apply HQ. }
    assert (HT : forall V', T chain_P V' x = g * V' (state_n (S (idx x)))) by (intro V'; apply HQ).
    rewrite HB, HT in Hp. apply Rmult_eq_reg_l in Hp; [|lra].
    assert (Hn : (idx (state_n (S (idx x))) + n = m)%nat) by (rewrite idx_state_n; lia).
    rewrite HB, (IH _ _ Hn Hp). simpl. ring.
Qed.

Lemma chain_loss h plan : (forall x, optimal_plan chain_P (S m) chain_V x (plan x)) ->
  executed_value chain_P plan (S m) h (state_n 0) = - (g ^ m * c) / (1 - g ^ S m).
Proof.
  intro Hplan. pose proof (executed_value_fixed chain_P plan (S m) h (state_n 0)) as Hf.
  assert (H0 : (idx (state_n 0) + m = m)%nat) by (rewrite idx_state_n; lia).
  rewrite (chain_plan m (plan (state_n 0)) (state_n 0) _ H0 (optimal_plan_value _ _ _ _ _ (Hplan (state_n 0)))) in Hf.
  pose proof (horizon_range (K := chain_task) (S m) h) as HgH. simpl gamma in HgH.
  set (v := executed_value chain_P plan (S m) h (state_n 0)) in *.
  apply (Rmult_eq_reg_r (1 - g ^ S m)); [|lra].
  replace (- (g ^ m * c) / (1 - g ^ S m) * (1 - g ^ S m)) with (- (g ^ m * c)) by (field; lra).
  change (g ^ S m) with (g * g ^ m). lra.
Qed.
End Chain.

(* For every H >= 2 and every discount: receding play comes as near to 2 gamma^H eps / (1 - gamma) as one
   likes. So the corrected bound has the best constant. *)
Theorem polo_lemma_2_receding_tight (g eps rho : R) (H : nat) :
  0 < g < 1 -> 0 < eps -> (2 <= H)%nat -> rho < 1 ->
  exists (K : task) (P : dynamics K) (Vh : state K -> R) (s : state K),
    gamma K = g /\ (forall x, Rabs (Vh x - Vstar P x) <= eps) /\
    forall pi, receding P H Vh pi -> rho * (2 * g ^ H * eps / (1 - g)) < Vstar P s - value P pi s.
Proof.
  intros Hg He HH Hrho. destruct H as [|m]; [lia|]. assert (Hm : (1 <= m)%nat) by lia.
  destruct (near_one rho Hrho) as [r [Hr Hrr]].
  assert (Hp : 0 < g ^ S m) by (apply pow_lt; lra).
  assert (Hge : 0 < 2 * g ^ S m * eps) by (apply Rmult_lt_0_compat; lra).
  assert (Hc : 0 <= r * (2 * g ^ S m * eps) < 2 * g ^ S m * eps) by (split; [apply Rmult_le_pos; lra|nra]).
  exists (ring_task m g (r * (2 * g ^ S m * eps)) Hg), (ring_P m g (r * (2 * g ^ S m * eps)) Hg).
  exists (ring_V m eps), (zero m).
  split; [reflexivity|]. split.
  - intro x. rewrite (ring_Vstar m g eps _ Hg Hc). unfold ring_V. destruct (at_0 m x); apply Rabs_le; lra.
  - intros pi Hpi. rewrite (ring_Vstar m g eps _ Hg Hc), (ring_loss m g eps _ Hm Hg Hc pi Hpi).
    assert (Hb : 0 < 2 * g ^ S m * eps / (1 - g)) by (apply Rdiv_lt_0_compat; lra).
    replace (0 - - (r * (2 * g ^ S m * eps)) / (1 - g)) with (r * (2 * g ^ S m * eps / (1 - g)))
      by (field; lra).
    apply Rmult_lt_compat_r; assumption.
Qed.

(* Lemma 2 as printed fails for receding play, for every H >= 2 and every discount. *)
Theorem polo_lemma_2_receding_fails (g eps : R) (H : nat) :
  0 < g < 1 -> 0 < eps -> (2 <= H)%nat ->
  exists (K : task) (P : dynamics K) (Vh : state K -> R) (s : state K),
    gamma K = g /\ (forall x, Rabs (Vh x - Vstar P x) <= eps) /\
    forall pi, receding P H Vh pi -> 2 * g ^ H * eps / (1 - g ^ H) < Vstar P s - value P pi s.
Proof.
  intros Hg He HH.
  assert (HgH : 0 < g ^ H < g).
  { split; [apply pow_lt; lra|]. destruct H as [|[|k]]; [lia|lia|]. simpl.
    pose proof (pow_le_1 g k) as Hk. assert (0 <= g ^ k <= 1) by (apply Hk; lra).
    assert (0 <= g * (1 - g ^ k)) by (apply Rmult_le_pos; lra).
    assert (g * (g * g ^ k) < g * 1); [|lra]. apply Rmult_lt_compat_l; [lra|]. nra. }
  assert (Hrho : (1 - g) / (1 - g ^ H) < 1).
  { apply (Rmult_lt_reg_r (1 - g ^ H)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
  destruct (polo_lemma_2_receding_tight g eps ((1 - g) / (1 - g ^ H)) H Hg He HH Hrho)
    as [K [P [Vh [s [HK [HVh Hloss]]]]]].
  exists K, P, Vh, s. split; [exact HK|]. split; [exact HVh|].
  intros pi Hpi. pose proof (Hloss pi Hpi) as Hl.
  replace (2 * g ^ H * eps / (1 - g ^ H)) with ((1 - g) / (1 - g ^ H) * (2 * g ^ H * eps / (1 - g)))
    by (field; lra).
  exact Hl.
Qed.

(* For every H and every discount: executed-H play comes as near to 2 gamma^H eps / (1 - gamma^H) as one
   likes, so that bound has the best constant, too. *)
Theorem polo_lemma_2_executed_tight (g eps rho : R) (H : nat) (h : (1 <= H)%nat) :
  0 < g < 1 -> 0 < eps -> rho < 1 ->
  exists (K : task) (P : dynamics K) (Vh : state K -> R) (s : state K),
    gamma K = g /\ (forall x, Rabs (Vh x - Vstar P x) <= eps) /\
    forall plan, (forall x, optimal_plan P H Vh x (plan x)) ->
      rho * (2 * g ^ H * eps / (1 - g ^ H)) < Vstar P s - executed_value P plan H h s.
Proof.
  intros Hg He Hrho. destruct H as [|m]; [lia|].
  destruct (near_one rho Hrho) as [r [Hr Hrr]].
  assert (Hge : 0 < 2 * g * eps) by (repeat apply Rmult_lt_0_compat; lra).
  assert (Hc : 0 <= r * (2 * g * eps) < 2 * g * eps) by (split; [apply Rmult_le_pos; lra|nra]).
  exists (chain_task m g (r * (2 * g * eps)) Hg), (chain_P m g (r * (2 * g * eps)) Hg).
  exists (chain_V m eps), (state_n m 0).
  split; [reflexivity|]. split.
  - intro x. rewrite (chain_Vstar m g eps _ Hg Hc). unfold chain_V. destruct (at_n m x (S m)); apply Rabs_le; lra.
  - intros plan Hplan. rewrite (chain_Vstar m g eps _ Hg Hc), (chain_loss m g eps _ Hg Hc h plan Hplan).
    pose proof (horizon_range (K := chain_task m g (r * (2 * g * eps)) Hg) (S m) h) as HgH. simpl gamma in HgH.
    assert (Hp : 0 < g ^ S m) by (apply pow_lt; lra).
    assert (Hb : 0 < 2 * g ^ S m * eps / (1 - g ^ S m)).
    { apply Rdiv_lt_0_compat; [apply Rmult_lt_0_compat; lra|lra]. }
    replace (0 - - (g ^ m * (r * (2 * g * eps))) / (1 - g ^ S m)) with (r * (2 * g ^ S m * eps / (1 - g ^ S m)))
      by (change (g ^ S m) with (g * g ^ m) in *; field; lra).
    apply Rmult_lt_compat_r; assumption.
Qed.
