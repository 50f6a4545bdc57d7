(* MPQ (Bhardwaj et al. 2020), equations (5)-(7); see 10-mpq-free-energy.md.

   The paper takes the joint distribution of H actions that is proportional to
   prior * exp(-(costs + terminal Q)/lambda) for optimal, and the free energy
   -lambda log E exp(-(costs + terminal Q)/lambda) for the soft optimal value, with the discount left out
   "for clarity". Here, on finite spaces: the variational identity behind it; the soft optimal value as
   nested free energies; and that the joint form equals it without a discount and can only be larger with
   one. *)

Require Import Reals Lra Lia List FiniteSpace.
Import ListNotations.
Open Scope R_scope.

(* ---------- exponentials, logarithms, powers ---------- *)

Lemma ln_le_minus_1 y : 0 < y -> ln y <= y - 1.
Proof. intro Hy. pose proof (exp_ineq1_le (ln y)) as H. rewrite exp_ln in H by exact Hy. lra. Qed.

Lemma exp_tangent z z0 : exp z0 * (1 + (z - z0)) <= exp z.
Proof.
  replace z with (z0 + (z - z0)) at 2 by ring. rewrite exp_plus.
  apply Rmult_le_compat_l; [left; apply exp_pos|]. apply exp_ineq1_le.
Qed.

Lemma ln_le' x y : 0 < x -> x <= y -> ln x <= ln y.
Proof. intros Hx [H| ->]; [left; apply ln_increasing; assumption|right; reflexivity]. Qed.

Lemma exp_le' x y : x <= y -> exp x <= exp y.
Proof. intros [H| ->]; [left; apply exp_increasing; exact H|right; reflexivity]. Qed.

(* y^g <= 1 + g (y - 1) for 0 <= g <= 1 *)
Lemma bernoulli g y : 0 <= g <= 1 -> 0 < y -> Rpower y g <= 1 + g * (y - 1).
Proof.
  intros Hg Hy. unfold Rpower. set (l := ln y). assert (Hl : exp l = y) by (apply exp_ln; exact Hy).
  pose proof (exp_tangent l (g * l)) as H1. pose proof (exp_tangent 0 (g * l)) as H0.
  rewrite Hl in H1. rewrite exp_0 in H0. set (e := exp (g * l)) in *.
  assert (Ha : g * (e * (1 + (l - g * l))) <= g * y) by (apply Rmult_le_compat_l; lra).
  assert (Hb : (1 - g) * (e * (1 + (0 - g * l))) <= (1 - g) * 1) by (apply Rmult_le_compat_l; lra).
  assert (Hc : g * (e * (1 + (l - g * l))) + (1 - g) * (e * (1 + (0 - g * l))) = e) by ring. lra.
Qed.

Lemma E_pos {X : space} (p : dist X) (f : X -> R) : (forall x, 0 < f x) -> 0 < E p f.
Proof.
  intro Hf. destruct (Rlt_le_dec 0 (E p f)) as [|H]; [assumption|exfalso].
  assert (Hz : forall x, p x = 0 * 1).
  { intro x. pose proof (mass_nonneg p x) as Hp. pose proof (Hf x) as Hfx.
    assert (H1 : p x * f x <= E p f).
    { apply (sum_term (fun y => p y * f y)). intro y.
      apply Rmult_le_pos; [apply mass_nonneg|left; apply Hf]. }
    destruct (Rle_lt_or_eq_dec 0 (p x) Hp) as [Hlt|]; [|lra].
    assert (0 < p x * f x) by (apply Rmult_lt_0_compat; assumption). lra. }
  pose proof (mass_sum p) as Hs. rewrite (sum_ext _ (fun _ => 0 * 1) Hz), sum_scal in Hs. lra.
Qed.

(* JENSEN. E X^g <= (E X)^g *)
Lemma jensen {X : space} (p : dist X) g (f : X -> R) : 0 <= g <= 1 -> (forall x, 0 < f x) ->
  E p (fun x => Rpower (f x) g) <= Rpower (E p f) g.
Proof.
  intros Hg Hf. pose proof (E_pos p f Hf) as Hm. set (m := E p f) in *. set (k := Rpower m g).
  assert (Hk : 0 < k) by apply exp_pos.
  apply Rle_trans with (E p (fun x => (k * g / m) * f x + (k * (1 - g)) * 1)).
  - apply E_le. intro x. pose proof (Hf x) as Hx.
    assert (Hq : 0 < f x / m) by (apply Rdiv_lt_0_compat; assumption).
    replace (f x) with (m * (f x / m)) at 1 by (field; lra).
    rewrite <- Rpower_mult_distr by assumption. fold k.
    replace (k * g / m * f x + k * (1 - g) * 1) with (k * (1 + g * (f x / m - 1))) by (field; lra).
    apply Rmult_le_compat_l; [lra|]. apply bernoulli; assumption.
  - rewrite E_lin, E_const. fold m. apply Req_le. field. lra.
Qed.

(* ---------- one distribution ---------- *)

Definition KL {X : space} (q p : dist X) : R := sum (fun x => q x * ln (q x / p x)).

Theorem KL_nonneg {X : space} (q p : dist X) : (forall x, 0 < p x) -> 0 <= KL q p.
Proof.
  intro Hp. apply Rle_trans with (sum (fun x => q x - p x)).
  - rewrite sum_minus, !mass_sum. lra.
  - apply sum_le. intro x. pose proof (Hp x) as Hpx. pose proof (mass_nonneg q x) as Hq.
    destruct (Rle_lt_or_eq_dec 0 (q x) Hq) as [Hlt|Heq]; [|rewrite <- Heq; lra].
    assert (Hr : 0 < p x / q x) by (apply Rdiv_lt_0_compat; assumption).
    pose proof (ln_le_minus_1 _ Hr) as H.
    replace (q x / p x) with (/ (p x / q x)) by (field; lra). rewrite ln_Rinv by exact Hr.
    apply (Rmult_le_compat_l (q x)) in H; [|lra].
    replace (q x * (p x / q x - 1)) with (p x - q x) in H by (field; lra). lra.
Qed.

Lemma KL_self {X : space} (q : dist X) : KL q q = 0.
Proof.
  unfold KL. rewrite (sum_ext _ (fun x => 0 * q x)); [rewrite sum_scal; ring|]. intro x.
  destruct (Rle_lt_or_eq_dec 0 (q x) (mass_nonneg q x)) as [Hlt|Heq]; [|rewrite <- Heq; ring].
  replace (q x / q x) with 1 by (field; lra). rewrite ln_1. ring.
Qed.

Section Gibbs.
Context {X : space}.
Variables (p : dist X) (lam : R).
Hypothesis Hp : forall x, 0 < p x.
Hypothesis Hlam : 0 < lam.
Implicit Types C : X -> R.

Definition partition C : R := E p (fun x => exp (- C x / lam)).
Definition free_energy C : R := - lam * ln (partition C).

Lemma partition_pos C : 0 < partition C.
Proof. apply E_pos. intro. apply exp_pos. Qed.

Lemma boltzmann_nonneg C x : 0 <= p x * exp (- C x / lam) / partition C.
Proof.
  left. apply Rdiv_lt_0_compat; [|apply partition_pos]. apply Rmult_lt_0_compat; [apply Hp|apply exp_pos].
Qed.
Lemma boltzmann_sum C : sum (fun x => p x * exp (- C x / lam) / partition C) = 1.
Proof.
  pose proof (partition_pos C) as HZ.
  rewrite (sum_ext _ (fun x => / partition C * (p x * exp (- C x / lam)))) by (intro; field; lra).
  rewrite sum_scal. fold (E p (fun x => exp (- C x / lam))). fold (partition C). field. lra.
Qed.
(* equation (6) *)
Definition boltzmann C : dist X := Dist X _ (boltzmann_nonneg C) (boltzmann_sum C).

Lemma boltzmann_pos C x : 0 < boltzmann C x.
Proof.
  simpl. apply Rdiv_lt_0_compat; [|apply partition_pos]. apply Rmult_lt_0_compat; [apply Hp|apply exp_pos].
Qed.

(* GIBBS. E_q C + lambda KL(q||p) = F + lambda KL(q||boltzmann), for every q. *)
Theorem gibbs_identity C (q : dist X) :
  E q C + lam * KL q p = free_energy C + lam * KL q (boltzmann C).
Proof.
  pose proof (partition_pos C) as HZ. unfold KL, E.
  rewrite <- !sum_scal, <- sum_plus.
  replace (free_energy C) with (sum (fun x => free_energy C * q x)) by (rewrite sum_scal, mass_sum; ring).
  rewrite <- sum_plus. apply sum_ext. intro x.
  destruct (Rle_lt_or_eq_dec 0 (q x) (mass_nonneg q x)) as [Hlt|Heq]; [|rewrite <- Heq; ring].
  pose proof (Hp x) as Hpx. simpl.
  replace (q x / (p x * exp (- C x / lam) / partition C))
    with (q x / p x * (exp (C x / lam) * partition C)).
  - assert (0 < q x / p x) by (apply Rdiv_lt_0_compat; assumption).
    rewrite ln_mult; [|assumption|apply Rmult_lt_0_compat; [apply exp_pos|assumption]].
    rewrite ln_mult; [|apply exp_pos|assumption]. rewrite ln_exp. unfold free_energy. field. lra.
  - replace (- C x / lam) with (- (C x / lam)) by (field; lra). rewrite exp_Ropp.
    pose proof (exp_pos (C x / lam)). field. lra.
Qed.

Theorem gibbs_inequality C (q : dist X) : free_energy C <= E q C + lam * KL q p.
Proof.
  rewrite gibbs_identity. pose proof (KL_nonneg q (boltzmann C) (boltzmann_pos C)).
  assert (0 <= lam * KL q (boltzmann C)) by (apply Rmult_le_pos; lra). lra.
Qed.

Theorem gibbs_attained C : E (boltzmann C) C + lam * KL (boltzmann C) p = free_energy C.
Proof. rewrite gibbs_identity, KL_self. ring. Qed.

Lemma free_energy_le C C' : (forall x, C x <= C' x) -> free_energy C <= free_energy C'.
Proof.
  intro H. unfold free_energy.
  assert (ln (partition C') <= ln (partition C)).
  { apply ln_le'; [apply partition_pos|]. apply E_le. intro x. apply exp_le'.
    unfold Rdiv. apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat; exact Hlam|]. pose proof (H x). lra. }
  assert (lam * ln (partition C') <= lam * ln (partition C)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

Lemma free_energy_ext C C' : (forall x, C x = C' x) -> free_energy C = free_energy C'.
Proof. intro H. unfold free_energy, partition. f_equal. f_equal. apply E_ext. intro x. rewrite H. reflexivity. Qed.

Lemma exp_free_energy C : exp (- free_energy C / lam) = partition C.
Proof.
  unfold free_energy. replace (- (- lam * ln (partition C)) / lam) with (ln (partition C)) by (field; lra).
  apply exp_ln, partition_pos.
Qed.
End Gibbs.

(* ---------- H steps ---------- *)

Section Horizon.
Variables (S A : space) (prior : S -> dist A) (c : S -> A -> R) (Vf : S -> R) (lam g : R).
Hypothesis Hprior : forall s a, 0 < prior s a.
Hypothesis Hlam : 0 < lam.
Hypothesis Hg : 0 <= g <= 1.

(* the soft value of n steps as nested free energies, for any dynamics *)
Fixpoint soft (P : S -> A -> dist S) (n : nat) (s : S) : R :=
  match n with
  | O => Vf s
  | Datatypes.S k => free_energy (prior s) lam (fun a => c s a + g * E (P s a) (soft P k))
  end.

(* the entropy-regularised cost of n steps, equation (1), with policy q t at time t *)
Fixpoint regularised (P : S -> A -> dist S) (q : nat -> S -> dist A) (n : nat) (s : S) : R :=
  match n with
  | O => Vf s
  | Datatypes.S k =>
      E (q 0%nat s) (fun a => c s a + g * E (P s a) (regularised P (fun t => q (Datatypes.S t)) k))
      + lam * KL (q 0%nat s) (prior s)
  end.

(* THE SOFT OPTIMAL VALUE IS NESTED: no policy costs less, and Boltzmann policies cost just that. *)
Theorem soft_lower P q n s : soft P n s <= regularised P q n s.
Proof.
  revert q s. induction n as [|n IH]; intros q s; simpl; [lra|].
  eapply Rle_trans; [apply (gibbs_inequality _ _ (Hprior s) Hlam _ (q 0%nat s))|].
  apply Rplus_le_compat_r. apply E_le. intro a. apply Rplus_le_compat_l.
  apply Rmult_le_compat_l; [lra|]. apply E_le. intro x. apply IH.
Qed.

Theorem soft_attained P n : exists q, forall s, regularised P q n s = soft P n s.
Proof.
  induction n as [|n [q IH]]; [exists (fun _ => prior); reflexivity|].
  exists (fun t => match t with
                   | O => fun s => boltzmann (prior s) lam (Hprior s) (fun a => c s a + g * E (P s a) (soft P n))
                   | Datatypes.S k => q k
                   end).
  intro s. simpl. rewrite <- (gibbs_attained (prior s) lam (Hprior s) Hlam). f_equal.
  apply E_ext. intro a. f_equal. f_equal. apply E_ext. exact IH.
Qed.

(* Deterministic dynamics, open-loop sequences of actions. *)
Variable next : S -> A -> S.
Definition P_next : S -> A -> dist S := fun s a => dirac (next s a).

(* the discounted cost of a sequence of actions, and the expectation over sequences under the prior *)
Fixpoint cost (s : S) (u : list A) : R :=
  match u with [] => Vf s | a :: u' => c s a + g * cost (next s a) u' end.
Fixpoint E_seq (n : nat) (s : S) (h : list A -> R) : R :=
  match n with
  | O => h []
  | Datatypes.S k => E (prior s) (fun a => E_seq k (next s a) (fun u => h (a :: u)))
  end.

(* equation (7), with the discount put in *)
Definition joint (n : nat) (s : S) : R := - lam * ln (E_seq n s (fun u => exp (- cost s u / lam))).

Lemma E_seq_ext n s h k : (forall u, h u = k u) -> E_seq n s h = E_seq n s k.
Proof.
  revert s h k. induction n as [|n IH]; intros s h k H; simpl; [apply H|].
  apply E_ext. intro a. apply IH. intro u. apply H.
Qed.
Lemma E_seq_scal n s x h : E_seq n s (fun u => x * h u) = x * E_seq n s h.
Proof.
  revert s h. induction n as [|n IH]; intros s h; simpl; [reflexivity|].
  rewrite (E_ext _ _ (fun a => x * E_seq n (next s a) (fun u => h (a :: u)) + 0 * 0)).
  - rewrite E_lin. ring.
  - intro a. rewrite IH. ring.
Qed.
Lemma E_seq_pos n s h : (forall u, 0 < h u) -> 0 < E_seq n s h.
Proof.
  revert s h. induction n as [|n IH]; intros s h H; simpl; [apply H|].
  apply E_pos. intro a. apply IH. intro u. apply H.
Qed.
Lemma E_seq_jensen n s h : (forall u, 0 < h u) ->
  E_seq n s (fun u => Rpower (h u) g) <= Rpower (E_seq n s h) g.
Proof.
  revert s h. induction n as [|n IH]; intros s h H; simpl; [lra|].
  eapply Rle_trans; [|apply jensen; [exact Hg|]].
  - apply E_le. intro a. apply IH. intro u. apply H.
  - intro a. apply E_seq_pos. intro u. apply H.
Qed.

Lemma exp_joint n s : exp (- joint n s / lam) = E_seq n s (fun u => exp (- cost s u / lam)).
Proof.
  unfold joint. set (z := E_seq _ _ _). replace (- (- lam * ln z) / lam) with (ln z) by (field; lra).
  apply exp_ln, E_seq_pos. intro. apply exp_pos.
Qed.

(* one action and then the rest *)
Lemma E_seq_step n s :
  E_seq (Datatypes.S n) s (fun u => exp (- cost s u / lam))
  = E (prior s) (fun a => exp (- c s a / lam)
                          * E_seq n (next s a) (fun u => Rpower (exp (- cost (next s a) u / lam)) g)).
Proof.
  simpl. apply E_ext. intro a. rewrite <- E_seq_scal. apply E_seq_ext. intro u.
  unfold Rpower. rewrite ln_exp, <- exp_plus. f_equal. simpl. field. lra.
Qed.

Lemma soft_next n s :
  soft P_next (Datatypes.S n) s
  = free_energy (prior s) lam (fun a => c s a + g * soft P_next n (next s a)).
Proof. simpl. apply free_energy_ext. intro a. unfold P_next at 1. rewrite E_dirac. reflexivity. Qed.

Lemma exp_split s a v : exp (- c s a / lam) * exp (g * (- v / lam)) = exp (- (c s a + g * v) / lam).
Proof. rewrite <- exp_plus. f_equal. field. lra. Qed.

(* THE DISCOUNTED INEQUALITY. The joint free energy is never below the soft optimal value. *)
Theorem soft_le_joint n s : soft P_next n s <= joint n s.
Proof.
  revert s. induction n as [|n IH]; intro s.
  - unfold joint. simpl. rewrite ln_exp. apply Req_le. field. lra.
  - rewrite soft_next. unfold free_energy, joint, partition.
    assert (H : E_seq (Datatypes.S n) s (fun u => exp (- cost s u / lam))
                <= E (prior s) (fun a => exp (- (c s a + g * soft P_next n (next s a)) / lam))).
    { rewrite E_seq_step. apply E_le. intro a. rewrite <- exp_split.
      apply Rmult_le_compat_l; [left; apply exp_pos|].
      eapply Rle_trans; [apply E_seq_jensen; intro; apply exp_pos|].
      rewrite <- exp_joint. unfold Rpower. rewrite ln_exp. apply exp_le'.
      apply Rmult_le_compat_l; [lra|]. unfold Rdiv.
      apply Rmult_le_compat_r; [left; apply Rinv_0_lt_compat; exact Hlam|].
      pose proof (IH (next s a)). lra. }
    apply ln_le' in H; [|apply E_seq_pos; intro; apply exp_pos].
    apply (Rmult_le_compat_l lam) in H; lra.
Qed.

(* Without a discount the two are equal: equation (7) as printed. *)
Theorem soft_eq_joint n s : g = 1 -> soft P_next n s = joint n s.
Proof.
  intro Hg1. revert s. induction n as [|n IH]; intro s.
  - unfold joint. simpl. rewrite ln_exp. field. lra.
  - rewrite soft_next. unfold free_energy, joint, partition. f_equal. f_equal.
    rewrite E_seq_step. apply E_ext. intro a. rewrite <- exp_split. f_equal.
    rewrite (E_seq_ext _ _ _ (fun u => exp (- cost (next s a) u / lam))).
    + rewrite <- exp_joint, IH, Hg1, Rmult_1_l. reflexivity.
    + intro u. unfold Rpower. rewrite ln_exp, Hg1, Rmult_1_l. reflexivity.
Qed.
End Horizon.

(* ---------- a strict instance ---------- *)

(* One state, costs 0 and log 4, uniform prior, lambda = 1, gamma = 1/2, two steps, terminal value 0. *)
Lemma half : 0 <= 1 / 2 <= 1. Proof. lra. Qed.
Definition ex_prior : one -> dist two := fun _ => coin (1 / 2) half.
Definition ex_c : one -> two -> R := fun _ a => if a then 2 * ln 2 else 0.
Definition ex_soft : nat -> one -> R :=
  soft one two ex_prior ex_c (fun _ => 0) 1 (1 / 2) (P_next one two (fun _ _ => tt : one)).
Definition ex_joint : nat -> one -> R :=
  joint one two ex_prior ex_c (fun _ => 0) 1 (1 / 2) (fun _ _ => tt : one).

Lemma exp_ln2 : exp (- ln 2) = 1 / 2.
Proof. rewrite exp_Ropp, exp_ln by lra. field. Qed.
Lemma exp_2ln2 : exp (- (2 * ln 2)) = 1 / 4.
Proof.
  replace (- (2 * ln 2)) with (- ln 2 + - ln 2) by ring. rewrite exp_plus, exp_ln2. field.
Qed.

Lemma ex_soft_step n : exp (- ex_soft (S n) tt) = 5 / 8 * exp (- (ex_soft n tt / 2)).
Proof.
  assert (Hs : ex_soft (S n) tt = free_energy (ex_prior tt) 1 (fun a => ex_c tt a + 1 / 2 * ex_soft n tt)).
  { unfold ex_soft. rewrite soft_next. reflexivity. }
  rewrite Hs. set (v := ex_soft n tt).
  unfold free_energy, partition, ex_prior. rewrite E_coin. simpl.
  replace (- (0 + 1 / 2 * v) / 1) with (- (v / 2)) by field.
  replace (- (2 * ln 2 + 1 / 2 * v) / 1) with (- (2 * ln 2) + - (v / 2)) by field.
  rewrite exp_plus, exp_2ln2. set (y := exp (- (v / 2))).
  replace ((1 - 1 / 2) * y + 1 / 2 * (1 / 4 * y)) with (5 / 8 * y) by field.
  match goal with |- exp ?x = _ => replace x with (ln (5 / 8 * y)) by ring end.
  apply exp_ln. apply Rmult_lt_0_compat; [lra|apply exp_pos].
Qed.

Lemma ex_soft_2 : exp (- ex_soft 2 tt) ^ 2 = 125 / 512.
Proof.
  rewrite ex_soft_step. rewrite Rpow_mult_distr.
  replace (exp (- (ex_soft 1 tt / 2)) ^ 2) with (exp (- ex_soft 1 tt)).
  - rewrite ex_soft_step. unfold ex_soft at 1. simpl. replace (- (0 / 2)) with 0 by field. rewrite exp_0. field.
  - simpl. rewrite Rmult_1_r, <- exp_plus. f_equal. field.
Qed.

Lemma ex_joint_2 : exp (- ex_joint 2 tt) = 15 / 32.
Proof.
  pose proof (exp_joint one two ex_prior ex_c (fun _ => 0) 1 (1 / 2) Rlt_0_1 (fun _ _ => tt : one) 2 tt) as H.
  fold ex_joint in H. replace (- ex_joint 2 tt / 1) with (- ex_joint 2 tt) in H by field. rewrite H.
  simpl. unfold ex_prior. rewrite !E_coin. simpl.
  replace (- (0 + 1 / 2 * (0 + 1 / 2 * 0)) / 1) with 0 by field.
  replace (- (0 + 1 / 2 * (2 * ln 2 + 1 / 2 * 0)) / 1) with (- ln 2) by field.
  replace (- (2 * ln 2 + 1 / 2 * (0 + 1 / 2 * 0)) / 1) with (- (2 * ln 2)) by field.
  replace (- (2 * ln 2 + 1 / 2 * (2 * ln 2 + 1 / 2 * 0)) / 1) with (- (2 * ln 2) + - ln 2) by field.
  rewrite exp_plus, exp_0, exp_2ln2, exp_ln2. field.
Qed.

(* exp(-soft) = (5/8)^(3/2) = .494, exp(-joint) = 15/32 = .469: the joint form is too large. *)
Theorem mpq_discounted_joint_fails : ex_soft 2 tt < ex_joint 2 tt.
Proof.
  apply Ropp_lt_cancel. apply exp_lt_inv. rewrite ex_joint_2.
  pose proof ex_soft_2 as H. pose proof (exp_pos (- ex_soft 2 tt)) as Hpos.
  set (x := exp (- ex_soft 2 tt)) in *.
  destruct (Rlt_le_dec (15 / 32) x) as [|Hle]; [assumption|exfalso]. nra.
Qed.
