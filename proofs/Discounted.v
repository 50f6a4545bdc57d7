(* Monotone discounted operators on the functions over a finite space: comparison, existence and
   uniqueness of the fixed point. *)

Require Import Reals Lra Lia FiniteSpace.
Open Scope R_scope.

(* ---------- geometric sequences ---------- *)

Lemma pow_le_1 g n : 0 <= g <= 1 -> 0 <= g ^ n <= 1.
Proof. intro H. split; [apply pow_le; lra|]. rewrite <- (pow1 n). apply pow_incr. exact H. Qed.

Lemma near_one rho : rho < 1 -> exists r, 0 <= r < 1 /\ rho < r.
Proof.
  intro H. exists ((1 + Rmax 0 rho) / 2). pose proof (Rmax_l 0 rho). pose proof (Rmax_r 0 rho).
  assert (Rmax 0 rho < 1) by (apply Rmax_lub_lt; lra). lra.
Qed.

Lemma vanish g c x : 0 <= g < 1 -> (forall n, x <= g ^ n * c) -> x <= 0.
Proof.
  intros Hg H. destruct (Rle_or_lt x 0) as [|Hx]; [assumption|exfalso].
  destruct (Rle_or_lt c 0) as [Hc|Hc].
  - pose proof (H 0%nat) as H0. simpl in H0. lra.
  - destruct (pow_lt_1_zero g) with (y := x / c) as [N HN].
    + rewrite Rabs_pos_eq; lra.
    + apply Rdiv_lt_0_compat; lra.
    + specialize (HN N (Nat.le_refl _)). rewrite Rabs_pos_eq in HN by (apply pow_le; lra).
      apply (Rmult_lt_compat_r c) in HN; [|lra].
      replace (x / c * c) with x in HN by (field; lra). pose proof (H N). lra.
Qed.

(* a sequence whose tails shrink geometrically has a limit, and is geometrically close to it *)
Lemma geometric_limit g c (u : nat -> R) :
  0 <= g < 1 -> (forall n m, Rabs (u (n + m)%nat - u n) <= g ^ n * c) ->
  { l | forall n, Rabs (l - u n) <= g ^ n * c }.
Proof.
  intros Hg Hu.
  assert (Hc : 0 <= c).
  { pose proof (Hu 0%nat 0%nat) as H. pose proof (Rabs_pos (u (0 + 0)%nat - u 0%nat)). simpl in *. lra. }
  assert (HC : Cauchy_crit u).
  { intros e He. destruct (pow_lt_1_zero g) with (y := e / (2 * c + 1)) as [N HN].
    - rewrite Rabs_pos_eq; lra.
    - apply Rdiv_lt_0_compat; lra.
    - specialize (HN N (Nat.le_refl _)). rewrite Rabs_pos_eq in HN by (apply pow_le; lra).
      apply (Rmult_lt_compat_r (2 * c + 1)) in HN; [|lra].
      replace (e / (2 * c + 1) * (2 * c + 1)) with e in HN by (field; lra).
      pose proof (pow_le g N (proj1 Hg)).
      exists N. intros n m Hn Hm. unfold R_dist.
      pose proof (abs_le _ _ (Hu N (n - N)%nat)) as H1. pose proof (abs_le _ _ (Hu N (m - N)%nat)) as H2.
      replace (N + (n - N))%nat with n in H1 by lia. replace (N + (m - N))%nat with m in H2 by lia.
      apply Rabs_def1; lra. }
  destruct (R_complete u HC) as [l Hl]. exists l. intro n.
  apply le_epsilon. intros e He. destruct (Hl e He) as [N HN].
  assert (Hge : (n + N >= N)%nat) by lia. specialize (HN _ Hge). unfold R_dist in HN.
  apply Rabs_def2 in HN. pose proof (abs_le _ _ (Hu n N)). apply Rabs_le. lra.
Qed.

(* ---------- operators ---------- *)

Section Operators.
Context {X : space}.
Implicit Types (F : (X -> R) -> X -> R) (V W : X -> R).

(* monotone, and a constant added to the argument comes out multiplied by g *)
Definition discounted (g : R) F : Prop :=
  forall V W d, 0 <= d -> (forall x, V x <= W x + d) -> forall x, F V x <= F W x + g * d.

Fixpoint iterate (n : nat) F V : X -> R :=
  match n with O => V | S k => F (iterate k F V) end.

Lemma iterate_shift F n V : iterate n F (F V) = F (iterate n F V).
Proof. induction n as [|n IH]; simpl; [reflexivity|]. rewrite IH. reflexivity. Qed.

Lemma iterate_add F n m V : iterate (n + m) F V = iterate n F (iterate m F V).
Proof. induction n as [|n IH]; simpl; [reflexivity|]. rewrite IH. reflexivity. Qed.

Lemma iterate_discounted g F n : 0 <= g -> discounted g F -> discounted (g ^ n) (iterate n F).
Proof.
  intros Hg HF. induction n as [|n IH]; intros V W d Hd H x; simpl.
  - pose proof (H x). lra.
  - replace (g * g ^ n * d) with (g * (g ^ n * d)) by ring. apply HF.
    + apply Rmult_le_pos; [apply pow_le|]; assumption.
    + apply IH; assumption.
Qed.

Lemma discounted_ext g F V W :
  discounted g F -> (forall x, V x = W x) -> forall x, F V x = F W x.
Proof.
  intros HF H x.
  assert (H1 : forall y, V y <= W y + 0) by (intro y; rewrite (H y); lra).
  assert (H2 : forall y, W y <= V y + 0) by (intro y; rewrite (H y); lra).
  pose proof (HF V W 0 (Rle_refl 0) H1 x). pose proof (HF W V 0 (Rle_refl 0) H2 x). lra.
Qed.

Lemma discounted_abs g F V W d :
  discounted g F -> 0 <= d -> (forall x, Rabs (V x - W x) <= d) ->
  forall x, Rabs (F V x - F W x) <= g * d.
Proof.
  intros HF Hd H x. apply Rabs_le.
  assert (H1 : forall y, V y <= W y + d) by (intro y; pose proof (abs_le _ _ (H y)); lra).
  assert (H2 : forall y, W y <= V y + d) by (intro y; pose proof (abs_le _ _ (H y)); lra).
  pose proof (HF V W d Hd H1 x). pose proof (HF W V d Hd H2 x). lra.
Qed.

(* functions on a finite space are bounded *)
Definition size V : R := sum (fun x => Rabs (V x)).
Lemma size_ge V x : Rabs (V x) <= size V.
Proof. apply (sum_term (fun y => Rabs (V y))). intro. apply Rabs_pos. Qed.
Lemma size_nonneg V : 0 <= size V.
Proof. apply sum_nonneg. intro. apply Rabs_pos. Qed.

(* COMPARISON. If W <= F W + c and F V <= V, then W <= V + c/(1-g). *)
Lemma comparison g F V W c :
  0 <= g < 1 -> discounted g F -> 0 <= c ->
  (forall x, W x <= F W x + c) -> (forall x, F V x <= V x) ->
  forall x, W x <= V x + c / (1 - g).
Proof.
  intros Hg HF Hc HW HV.
  set (k := c / (1 - g)). set (e := size W + size V).
  assert (Hk : 0 <= k) by (unfold k; apply Rle_mult_inv_pos; lra).
  assert (He : 0 <= e) by (unfold e; pose proof (size_nonneg W); pose proof (size_nonneg V); lra).
  assert (Hck : c + g * k = k) by (unfold k; field; lra).
  assert (Hn : forall n x, W x <= V x + (k + g ^ n * e)).
  { induction n as [|n IH]; intro x.
    - pose proof (abs_le _ _ (size_ge W x)). pose proof (abs_le _ _ (size_ge V x)). simpl. unfold e. lra.
    - assert (Hd : 0 <= k + g ^ n * e).
      { apply Rplus_le_le_0_compat; [assumption|]. apply Rmult_le_pos; [apply pow_le; lra|assumption]. }
      pose proof (HF W V _ Hd IH x). pose proof (HW x). pose proof (HV x). simpl. lra. }
  intro x. assert (W x - V x - k <= 0); [|lra].
  apply (vanish g e); [assumption|]. intro n. pose proof (Hn n x). lra.
Qed.

(* ---------- the fixed point ---------- *)

Section FixedPoint.
Variables (g : R) (F : (X -> R) -> X -> R).
Hypothesis Hg : 0 <= g < 1.
Hypothesis HF : discounted g F.

Let zero : X -> R := fun _ => 0.
Definition radius : R := size (F (fun _ => 0)) / (1 - g).

Lemma radius_nonneg : 0 <= radius.
Proof. unfold radius. apply Rle_mult_inv_pos; [apply size_nonneg|lra]. Qed.

Lemma iterate_radius m x : Rabs (iterate m F zero x - 0) <= radius.
Proof.
  revert x. induction m as [|m IH]; intro x; simpl.
  - unfold zero. rewrite Rminus_0_r, Rabs_R0. apply radius_nonneg.
  - pose proof (discounted_abs g F (iterate m F zero) zero radius HF radius_nonneg IH x) as H.
    pose proof (size_ge (F zero) x) as H0. apply abs_le in H. apply abs_le in H0.
    assert (Hr : size (F zero) + g * radius = radius) by (unfold radius, zero; field; lra).
    apply Rabs_le. lra.
Qed.

Lemma iterate_cauchy x n m :
  Rabs (iterate (n + m) F zero x - iterate n F zero x) <= g ^ n * radius.
Proof.
  rewrite iterate_add. apply (discounted_abs (g ^ n) (iterate n F)).
  - apply iterate_discounted; [lra|assumption].
  - apply radius_nonneg.
  - intro y. apply iterate_radius.
Qed.

(* the limit of F(F(...F(0))) *)
Definition fixpoint (x : X) : R :=
  proj1_sig (geometric_limit g radius (fun n => iterate n F zero x) Hg (iterate_cauchy x)).

Lemma fixpoint_close n x : Rabs (fixpoint x - iterate n F (fun _ => 0) x) <= g ^ n * radius.
Proof.
  exact (proj2_sig (geometric_limit g radius (fun n => iterate n F zero x) Hg (iterate_cauchy x)) n).
Qed.

(* EXISTENCE. *)
Theorem fixpoint_eq x : fixpoint x = F fixpoint x.
Proof.
  assert (Hn : forall n, Rabs (fixpoint x - F fixpoint x) <= g ^ n * (2 * g * radius)).
  { intro n. pose proof (fixpoint_close (S n) x) as H1. apply abs_le in H1. simpl in H1.
    assert (Hd : 0 <= g ^ n * radius) by (apply Rmult_le_pos; [apply pow_le; lra|apply radius_nonneg]).
    pose proof (discounted_abs g F _ _ _ HF Hd (fixpoint_close n) x) as H2. apply abs_le in H2.
    apply Rabs_le. lra. }
  assert (H : Rabs (fixpoint x - F fixpoint x) <= 0) by (apply (vanish g _ _ Hg Hn)).
  apply abs_le in H. lra.
Qed.

(* UNIQUENESS. *)
Theorem fixpoint_unique V : (forall x, V x = F V x) -> forall x, V x = fixpoint x.
Proof.
  intros HV x.
  assert (Hself : forall y, fixpoint y = F fixpoint y) by (intro; apply fixpoint_eq).
  assert (H1 : V x <= fixpoint x + 0 / (1 - g)).
  { apply (comparison g F _ _ 0 Hg HF); [lra| |]; intro y; pose proof (HV y); pose proof (Hself y); lra. }
  assert (H2 : fixpoint x <= V x + 0 / (1 - g)).
  { apply (comparison g F _ _ 0 Hg HF); [lra| |]; intro y; pose proof (HV y); pose proof (Hself y); lra. }
  assert (H0 : 0 / (1 - g) = 0) by (field; lra). lra.
Qed.
End FixedPoint.
End Operators.
