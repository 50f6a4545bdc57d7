(* Finite Markov decision processes: Bellman operators, optimal values, H-step plans, and the two
   ways to play them. Everything is constructed; nothing is assumed of a value function. *)

Require Import Reals Lra Lia FiniteSpace Discounted.
Open Scope R_scope.

(* States, actions, rewards, discount. Dynamics are kept apart, so that the true process and a model
   of it are two dynamics of one task. *)
Record task := Task {
  state : space;
  action : space;
  some_action : action;
  reward : state -> action -> R;
  gamma : R;
  gamma_range : 0 <= gamma < 1
}.
Arguments reward {t} s a.

Definition dynamics (K : task) : Type := state K -> action K -> dist (state K).
Definition policy (K : task) : Type := state K -> dist (action K).

(* all rewards in an interval of length L *)
Definition rewards_within (K : task) (lo L : R) : Prop :=
  forall (s : state K) (a : action K), lo <= reward s a <= lo + L.

Section Mdp.
Context {K : task}.
Implicit Types (P : dynamics K) (V W : state K -> R) (pi : policy K).
Local Notation g := (gamma K).

(* r(s,a) + gamma E V(s') *)
Definition Q P V (s : state K) (a : action K) : R := reward s a + g * E (P s a) V.

(* the Bellman operators: the best action, and that of a policy *)
Definition T P V (s : state K) : R := best (some_action K) (Q P V s).
Definition backup P pi V (s : state K) : R := E (pi s) (Q P V s).

(* E[ sum_{t<n} gamma^t r(s_t,a_t) + gamma^n V(s_n) | s_0 = s ], with policy p t at time t *)
Fixpoint rollout P (p : nat -> policy K) (n : nat) V : state K -> R :=
  match n with
  | O => V
  | S k => backup P (p 0%nat) (rollout P (fun t => p (S t)) k V)
  end.

(* ---------- the operators are discounted ---------- *)

Lemma g0 : 0 <= g. Proof. pose proof (gamma_range K). lra. Qed.

Lemma Q_shift P V W d s a : (forall x, V x <= W x + d) -> Q P V s a <= Q P W s a + g * d.
Proof.
  intro H. unfold Q. pose proof (E_shift (P s a) V W d H). pose proof g0.
  assert (g * E (P s a) V <= g * (E (P s a) W + d)) by (apply Rmult_le_compat_l; assumption). lra.
Qed.

Lemma T_discounted P : discounted g (T P).
Proof. intros V W d _ H s. apply best_shift. intro a. apply Q_shift. exact H. Qed.

Lemma backup_discounted P pi : discounted g (backup P pi).
Proof. intros V W d _ H s. apply E_shift. intro a. apply Q_shift. exact H. Qed.

Lemma rollout_discounted P p n : discounted (g ^ n) (rollout P p n).
Proof.
  revert p. induction n as [|n IH]; intros p V W d Hd H s; simpl.
  - pose proof (H s). lra.
  - replace (g * g ^ n * d) with (g * (g ^ n * d)) by ring.
    apply backup_discounted; [apply Rmult_le_pos; [apply pow_le, g0|assumption]|].
    apply IH; assumption.
Qed.

Lemma backup_le_T P pi V s : backup P pi V s <= T P V s.
Proof. apply E_best. Qed.

Lemma T_mono P V W : (forall s, V s <= W s) -> forall s, T P V s <= T P W s.
Proof.
  intros H s. assert (H0 : forall x, V x <= W x + 0) by (intro x; pose proof (H x); lra).
  pose proof (T_discounted P V W 0 (Rle_refl 0) H0 s). lra.
Qed.

Lemma backup_mono P pi V W : (forall s, V s <= W s) -> forall s, backup P pi V s <= backup P pi W s.
Proof.
  intros H s. assert (H0 : forall x, V x <= W x + 0) by (intro x; pose proof (H x); lra).
  pose proof (backup_discounted P pi V W 0 (Rle_refl 0) H0 s). lra.
Qed.

(* ---------- values ---------- *)

(* V*, the limit of value iteration *)
Definition Vstar P : state K -> R := fixpoint g (T P) (gamma_range K) (T_discounted P).

(* V^pi, the limit of the n-step returns of pi *)
Definition value P pi : state K -> R := fixpoint g (backup P pi) (gamma_range K) (backup_discounted P pi).

Theorem Vstar_fixed P s : Vstar P s = T P (Vstar P) s.
Proof. apply fixpoint_eq. Qed.

Theorem Vstar_unique P V : (forall s, V s = T P V s) -> forall s, V s = Vstar P s.
Proof. apply fixpoint_unique. Qed.

Theorem value_fixed P pi s : value P pi s = backup P pi (value P pi) s.
Proof. apply fixpoint_eq. Qed.

Theorem value_unique P pi V : (forall s, V s = backup P pi V s) -> forall s, V s = value P pi s.
Proof. apply fixpoint_unique. Qed.

Lemma rollout_stationary P pi n V : rollout P (fun _ => pi) n V = iterate n (backup P pi) V.
Proof. induction n as [|n IH]; simpl; [reflexivity|]. rewrite IH. reflexivity. Qed.

(* V^pi is the limit of the expected discounted return of n steps *)
Theorem value_is_return P pi :
  exists c, forall n s, Rabs (value P pi s - rollout P (fun _ => pi) n (fun _ => 0) s) <= g ^ n * c.
Proof.
  exists (radius g (backup P pi)). intros n s. rewrite rollout_stationary. apply fixpoint_close.
Qed.

(* No policy, whether it changes with time or not, gets more than V*, and some policy gets V*. *)
Theorem Vstar_upper P p n s : rollout P p n (Vstar P) s <= Vstar P s.
Proof.
  revert p s. induction n as [|n IH]; intros p s; simpl; [lra|].
  rewrite Vstar_fixed. eapply Rle_trans; [apply backup_mono|apply backup_le_T]. intro x. apply IH.
Qed.

Definition greedy P V : policy K := fun s => dirac (argmax (some_action K) (Q P V s)).

Lemma greedy_T P V s : backup P (greedy P V) V s = T P V s.
Proof. unfold backup, greedy. rewrite E_dirac. reflexivity. Qed.

Theorem Vstar_attained P : exists pi, forall s, value P pi s = Vstar P s.
Proof.
  exists (greedy P (Vstar P)). intro s. symmetry. apply value_unique. intro x.
  rewrite greedy_T. apply Vstar_fixed.
Qed.

Theorem value_le_Vstar P pi s : value P pi s <= Vstar P s.
Proof.
  assert (H0 : 0 / (1 - g) = 0) by (pose proof (gamma_range K); field; lra).
  assert (H : value P pi s <= Vstar P s + 0 / (1 - g)); [|lra].
  apply (comparison g (T P) (Vstar P) (value P pi) 0 (gamma_range K) (T_discounted P) (Rle_refl 0)).
  - intro x. pose proof (value_fixed P pi x). pose proof (backup_le_T P pi (value P pi) x). lra.
  - intro x. pose proof (Vstar_fixed P x). lra.
Qed.

(* ---------- H-step plans ---------- *)

(* p maximises the H-step objective from s, over all feedback plans: the argmax of the papers *)
Definition optimal_plan P (H : nat) V (s : state K) (p : nat -> policy K) : Prop :=
  forall q, rollout P q H V s <= rollout P p H V s.

(* RECEDING. The first action of an optimal H-step plan, planned anew at every step. Ties may be
   broken in any way, at random too. *)
Definition receding P (H : nat) V pi : Prop :=
  forall s, exists p, optimal_plan P H V s p /\ p 0%nat s = pi s.

(* EXECUTED-H. An H-step plan is made at s and carried out for H steps; then the next is made. *)
Definition execute P (plan : state K -> nat -> policy K) (H : nat) V (s : state K) : R :=
  rollout P (plan s) H V s.

Lemma horizon_range H : (1 <= H)%nat -> 0 <= g ^ H < 1.
Proof.
  intro h. pose proof (gamma_range K) as Hg. split; [apply pow_le, g0|].
  destruct H as [|n]; [lia|]. simpl. assert (Hn : 0 <= g ^ n <= 1) by (apply pow_le_1; lra). nra.
Qed.

Lemma execute_discounted P plan H : discounted (g ^ H) (execute P plan H).
Proof. intros V W d Hd HVW s. apply rollout_discounted; assumption. Qed.

(* the limit of the returns of n blocks *)
Definition executed_value P plan H (h : (1 <= H)%nat) : state K -> R :=
  fixpoint (g ^ H) (execute P plan H) (horizon_range H h) (execute_discounted P plan H).

Theorem executed_value_fixed P plan H h s :
  executed_value P plan H h s = rollout P (plan s) H (executed_value P plan H h) s.
Proof. exact (fixpoint_eq _ _ _ _ s). Qed.

(* the limit of the expected returns of n blocks *)
Theorem executed_value_is_return P plan H h :
  exists c, forall n s,
    Rabs (executed_value P plan H h s - iterate n (execute P plan H) (fun _ => 0) s) <= (g ^ H) ^ n * c.
Proof. exists (radius (g ^ H) (execute P plan H)). intros n s. apply fixpoint_close. Qed.

Lemma rollout_le P p n V s : rollout P p n V s <= iterate n (T P) V s.
Proof.
  revert p s. induction n as [|n IH]; intros p s; simpl; [lra|].
  eapply Rle_trans; [apply backup_mono|apply backup_le_T]. intro x. apply IH.
Qed.

(* the plan that dynamic programming finds *)
Fixpoint best_plan P (n : nat) V : nat -> policy K :=
  match n with
  | O => fun _ => greedy P V
  | S k => fun t => match t with O => greedy P (iterate k (T P) V) | S t' => best_plan P k V t' end
  end.

Lemma best_plan_value P n V s : rollout P (best_plan P n V) n V s = iterate n (T P) V s.
Proof.
  revert s. induction n as [|n IH]; intro s; [reflexivity|].
  change (backup P (greedy P (iterate n (T P) V)) (rollout P (fun t => best_plan P n V t) n V) s
          = T P (iterate n (T P) V) s).
  rewrite <- greedy_T. apply (discounted_ext g); [apply backup_discounted|]. exact IH.
Qed.

Theorem best_plan_optimal P H V s : optimal_plan P H V s (best_plan P H V).
Proof. intro q. rewrite best_plan_value. apply rollout_le. Qed.

Theorem optimal_plan_value P H V s p : optimal_plan P H V s p -> rollout P p H V s = iterate H (T P) V s.
Proof.
  intro Hp. apply Rle_antisym; [apply rollout_le|]. rewrite <- best_plan_value. apply Hp.
Qed.

Lemma receding_greedy P n V pi :
  receding P (S n) V pi -> forall s, backup P pi (iterate n (T P) V) s = T P (iterate n (T P) V) s.
Proof.
  intros Hr s. destruct (Hr s) as [p [Hp Hs]]. apply optimal_plan_value in Hp. simpl in Hp.
  apply Rle_antisym; [apply backup_le_T|]. rewrite <- Hp. unfold backup. rewrite Hs.
  apply E_le. intro a.
  assert (H0 : forall x, rollout P (fun t => p (S t)) n V x <= iterate n (T P) V x + 0).
  { intro x. pose proof (rollout_le P (fun t => p (S t)) n V x). lra. }
  pose proof (Q_shift P _ _ 0 s a H0). lra.
Qed.

Theorem receding_exists P H V : (1 <= H)%nat -> exists pi, receding P H V pi.
Proof.
  intro h. destruct H as [|n]; [lia|]. exists (best_plan P (S n) V 0%nat).
  intro s. exists (best_plan P (S n) V). split; [apply best_plan_optimal|reflexivity].
Qed.

(* ---------- where the values lie ---------- *)

Section Range.
Variables lo L : R.
Hypothesis Hr : rewards_within K lo L.
Let l := lo / (1 - g).
Let w := L / (1 - g).

Lemma width : w = L + g * w /\ l = lo + g * l.
Proof. pose proof (gamma_range K). unfold w, l. split; field; lra. Qed.

Lemma Q_inside P V : (forall s, l <= V s <= l + w) -> forall s a, l <= Q P V s a <= l + w.
Proof.
  intros HV s a. unfold Q. pose proof (Hr s a) as Hsa. destruct width as [Hw Hl]. pose proof g0 as Hg.
  assert (Hlo : l <= E (P s a) V) by (apply E_lower; intro x; apply HV).
  assert (Hup : E (P s a) V <= l + w) by (apply E_upper; intro x; apply HV).
  assert (g * l <= g * E (P s a) V) by (apply Rmult_le_compat_l; assumption).
  assert (g * E (P s a) V <= g * (l + w)) by (apply Rmult_le_compat_l; assumption). lra.
Qed.

Lemma T_inside P V : (forall s, l <= V s <= l + w) -> forall s, l <= T P V s <= l + w.
Proof. intros HV s. apply (Q_inside P V HV). Qed.

Lemma backup_inside P pi V : (forall s, l <= V s <= l + w) -> forall s, l <= backup P pi V s <= l + w.
Proof.
  intros HV s. split; [apply E_lower|apply E_upper]; intro a; apply (Q_inside P V HV).
Qed.

Lemma iterate_inside P V n : (forall s, l <= V s <= l + w) -> forall s, l <= iterate n (T P) V s <= l + w.
Proof. intro HV. induction n as [|n IH]; simpl; [exact HV|]. apply T_inside. exact IH. Qed.

Lemma rollout_inside P p n V : (forall s, l <= V s <= l + w) -> forall s, l <= rollout P p n V s <= l + w.
Proof.
  intro HV. revert p. induction n as [|n IH]; intro p; simpl; [exact HV|]. apply backup_inside, IH.
Qed.

(* a fixed point of an operator that keeps the interval lies in it *)
Lemma fixed_inside F V (s0 : state K) : discounted g F ->
  (forall W, (forall s, l <= W s <= l + w) -> forall s, l <= F W s <= l + w) ->
  (forall s, V s = F V s) -> forall s, l <= V s <= l + w.
Proof.
  intros HF Hin HV s. pose proof (Hr s (some_action K)) as Hsa. pose proof (gamma_range K) as Hg.
  assert (Hw : 0 <= w) by (unfold w; apply Rle_mult_inv_pos; lra).
  assert (Hlow : forall x, l <= F (fun _ => l) x <= l + w) by (apply Hin; intro; lra).
  assert (Hupp : forall x, l <= F (fun _ => l + w) x <= l + w) by (apply Hin; intro; lra).
  assert (H0 : 0 / (1 - g) = 0) by (field; lra).
  assert (H1 : (fun _ => l) s <= V s + 0 / (1 - g)).
  { apply (comparison g F V (fun _ => l) 0 Hg HF (Rle_refl 0)); intro x.
    - pose proof (Hlow x). lra.
    - pose proof (HV x). lra. }
  assert (H2 : V s <= (fun _ => l + w) s + 0 / (1 - g)).
  { apply (comparison g F (fun _ => l + w) V 0 Hg HF (Rle_refl 0)); intro x.
    - pose proof (HV x). lra.
    - pose proof (Hupp x). lra. }
  cbv beta in *. lra.
Qed.

Lemma Vstar_inside P s : l <= Vstar P s <= l + w.
Proof.
  apply (fixed_inside (T P) (Vstar P) s); [apply T_discounted|apply T_inside|intro; apply Vstar_fixed].
Qed.

Lemma value_inside P pi s : l <= value P pi s <= l + w.
Proof.
  apply (fixed_inside (backup P pi) (value P pi) s);
    [apply backup_discounted|apply backup_inside|intro; apply value_fixed].
Qed.

(* ---------- another dynamics in place of this one ---------- *)

Lemma Q_swap P P' eps V s a :
  (forall x, l <= V x <= l + w) -> TV (P s a) (P' s a) <= eps -> Q P V s a <= Q P' V s a + g * eps * w.
Proof.
  intros HV Heps. unfold Q. pose proof (TV_swap (P s a) (P' s a) V l w HV) as H. pose proof g0 as Hg.
  pose proof (Hr s a). pose proof (gamma_range K).
  assert (Hw : 0 <= w) by (unfold w; apply Rle_mult_inv_pos; lra).
  assert (TV (P s a) (P' s a) * w <= eps * w) by (apply Rmult_le_compat_r; assumption).
  assert (g * E (P s a) V <= g * (E (P' s a) V + eps * w)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(* another policy in place of this one *)
Lemma policy_swap P pi pi' eps s :
  (forall x, TV (pi x) (pi' x) <= eps) -> value P pi s <= value P pi' s + eps * w / (1 - g).
Proof.
  intro Heps. pose proof (gamma_range K) as Hg. pose proof (Hr s (some_action K)).
  assert (Hw : 0 <= w) by (unfold w; apply Rle_mult_inv_pos; lra).
  assert (He : 0 <= eps) by (pose proof (Heps s); pose proof (TV_nonneg (pi s) (pi' s)); lra).
  apply (comparison g (backup P pi')); auto using backup_discounted.
  - apply Rmult_le_pos; assumption.
  - intro x. rewrite value_fixed at 1.
    pose proof (TV_swap (pi x) (pi' x) (Q P (value P pi) x) l w (Q_inside P _ (value_inside P pi) x)).
    assert (TV (pi x) (pi' x) * w <= eps * w) by (apply Rmult_le_compat_r; auto).
    unfold backup. lra.
  - intro x. pose proof (value_fixed P pi' x). lra.
Qed.
End Range.

(* rewards on a finite space are bounded *)
Definition reward_size : R := sum (fun s : state K => sum (fun a => Rabs (reward s a))).
Lemma rewards_bounded : rewards_within K (- reward_size) (2 * reward_size).
Proof.
  intros s a.
  assert (H : Rabs (reward s a) <= reward_size).
  { unfold reward_size. apply Rle_trans with (sum (fun a => Rabs (reward s a))).
    - apply (sum_term (fun a => Rabs (reward s a))). intro. apply Rabs_pos.
    - apply (sum_term (fun s => sum (fun a => Rabs (reward s a)))). intro.
      apply sum_nonneg. intro. apply Rabs_pos. }
  apply abs_le in H. lra.
Qed.
End Mdp.
