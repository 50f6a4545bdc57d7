(* MoPAC (Morgan et al. 2021), Theorem 1, equations (2) and (3); see 01-mopac-theorem-1.md.

   Printed, with eps_f the error of the dynamics, eps_V = max_s |V^(s) - V*(s)|:

     J(pi* ) - J(pi_MPC) <= 2 gamma^H eps_V / (1 - gamma^H) + r_max (1 - gamma^H)/(1 - gamma) eps_f.

   Here: the corrected bounds for both readings of pi_MPC, and an instance on which the printed one
   fails for every H in both. eps_f is the total variation distance; in the counterexample it is the L1
   distance, which is twice as large and so the reading that is kinder to the printed bound. *)

Require Import Reals Lra Lia FiniteSpace Discounted Mdp.
Open Scope R_scope.

Section Corrected.
Variables (K : task) (P Ph : dynamics K) (Vh : state K -> R) (H : nat).
Variables lo L eps_f eps_V : R.
Hypothesis HH : (1 <= H)%nat.
Hypothesis Hrew : rewards_within K lo L.
Hypothesis Hmodel : forall s a, TV (P s a) (Ph s a) <= eps_f.
Hypothesis Hvalue : forall s, Rabs (Vh s - Vstar P s) <= eps_V.
Let g := gamma K.

(* what one step loses by the model: gamma eps_f times the width of the interval of values *)
Let m := g * eps_f * (L / (1 - g)).

Lemma gr : 0 <= g < 1. Proof. apply gamma_range. Qed.

Lemma facts (s : state K) : 0 <= m /\ 0 <= eps_V.
Proof.
  pose proof gr as Hg. pose proof (Hrew s (some_action K)).
  pose proof (Hmodel s (some_action K)). pose proof (TV_nonneg (P s (some_action K)) (Ph s (some_action K))).
  pose proof (Hvalue s). pose proof (Rabs_pos (Vh s - Vstar P s)).
  assert (0 <= L / (1 - g)) by (apply Rle_mult_inv_pos; lra).
  split; [|lra]. unfold m. apply Rmult_le_pos; [apply Rmult_le_pos; lra|assumption].
Qed.

Lemma model_sym s a : TV (Ph s a) (P s a) <= eps_f.
Proof. rewrite TV_sym. apply Hmodel. Qed.

Lemma Vh_upper s : Vh s <= Vstar P s + eps_V.
Proof. pose proof (abs_le _ _ (Hvalue s)). lra. Qed.
Lemma Vh_lower s : Vstar P s <= Vh s + eps_V.
Proof. pose proof (abs_le _ _ (Hvalue s)). lra. Qed.

(* V* = T V* <= T^ V* + m *)
Lemma optimal_in_model s : Vstar P s <= T Ph (Vstar P) s + m.
Proof.
  rewrite Vstar_fixed at 1. apply best_shift. intro a. unfold m.
  apply (Q_swap lo L Hrew); [apply (Vstar_inside lo L Hrew)|apply Hmodel].
Qed.

Lemma optimal_in_model_n n s :
  Vstar P s <= iterate n (T Ph) (Vstar P) s + m * (1 - g ^ n) / (1 - g).
Proof.
  pose proof gr as Hg. destruct (facts s) as [Hm _]. revert s. induction n as [|n IH]; intro s; simpl.
  - replace (m * (1 - 1) / (1 - g)) with 0 by (field; lra). lra.
  - assert (Hd : 0 <= m * (1 - g ^ n) / (1 - g)).
    { apply Rle_mult_inv_pos; [|lra]. apply Rmult_le_pos; [assumption|].
      pose proof (pow_le_1 g n). lra. }
    pose proof (T_discounted Ph _ _ _ Hd IH s) as G1. pose proof (optimal_in_model s) as G2. fold g in G1.
    replace (m * (1 - g * g ^ n) / (1 - g)) with (m + g * (m * (1 - g ^ n) / (1 - g))) by (field; lra).
    lra.
Qed.

(* THEOREM 1, corrected, for the policy that equation (1) and the text define: the first action of an
   optimal H-step plan in the model, planned anew at every step. *)
Theorem mopac_theorem_1_receding (pi : policy K) :
  receding Ph H Vh pi ->
  forall s, Vstar P s - value P pi s <= 2 * g ^ H * eps_V / (1 - g) + 2 * g * eps_f * L / (1 - g) ^ 2.
Proof.
  intros Hpi s. pose proof gr as Hg. destruct (facts s) as [Hm HV].
  destruct H as [|n]; [lia|]. pose proof (receding_greedy Ph n Vh pi Hpi) as Hgreedy.
  set (W := iterate n (T Ph) Vh) in *. set (W0 := iterate n (T Ph) (Vstar P)).
  pose proof (pow_le_1 g n) as Hgn. assert (Hp : 0 <= g ^ n <= 1) by (apply Hgn; lra). clear Hgn.
  assert (Hdisc : discounted (g ^ n) (iterate n (T Ph))).
  { apply iterate_discounted; [lra|apply T_discounted]. }
  assert (Ha : forall x, W0 x <= W x + g ^ n * eps_V) by (apply Hdisc; [assumption|apply Vh_lower]).
  assert (Hb : forall x, W x <= W0 x + g ^ n * eps_V) by (apply Hdisc; [assumption|apply Vh_upper]).
  assert (Hc : forall x, W0 x <= T Ph W0 x + g ^ n * m).
  { intro x. unfold W0 at 2. rewrite <- iterate_shift. apply Hdisc; [assumption|apply optimal_in_model]. }
  assert (He : 0 <= g ^ n * eps_V) by (apply Rmult_le_pos; lra).
  assert (Hin : forall x, lo / (1 - g) <= W0 x <= lo / (1 - g) + L / (1 - g)).
  { apply (iterate_inside lo L Hrew). apply (Vstar_inside lo L Hrew). }
  assert (Hd : forall x, W0 x <= backup P pi W0 x + (m + g ^ n * m + 2 * (g * (g ^ n * eps_V)))).
  { intro x. pose proof (Hc x). pose proof (T_discounted Ph _ _ _ He Ha x) as G1. fold g in G1.
    pose proof (Hgreedy x). pose proof (backup_discounted Ph pi _ _ _ He Hb x) as G2. fold g in G2.
    assert (G3 : backup Ph pi W0 x <= backup P pi W0 x + m).
    { apply E_shift. intro a. apply (Q_swap lo L Hrew); [exact Hin|apply model_sym]. }
    lra. }
  assert (Hgm : 0 <= g ^ n * m) by (apply Rmult_le_pos; lra).
  assert (Hge : 0 <= g * (g ^ n * eps_V)) by (apply Rmult_le_pos; lra).
  assert (Hpos : 0 <= m + g ^ n * m + 2 * (g * (g ^ n * eps_V))) by lra.
  assert (Hfix : forall x, backup P pi (value P pi) x <= value P pi x).
  { intro x. pose proof (value_fixed P pi x). lra. }
  pose proof (comparison g (backup P pi) (value P pi) W0 _ Hg (backup_discounted P pi) Hpos Hd Hfix s) as G1.
  pose proof (optimal_in_model_n n s) as G2. fold W0 in G2.
  replace (2 * g ^ S n * eps_V / (1 - g) + 2 * g * eps_f * L / (1 - g) ^ 2)
    with (m * (1 - g ^ n) / (1 - g) + (m + g ^ n * m + 2 * (g * (g ^ n * eps_V))) / (1 - g))
    by (unfold m; simpl; field; lra).
  lra.
Qed.

(* The same play, block by block: the model error of a whole plan telescopes. *)
Lemma plan_swap p n V : (forall x, lo / (1 - g) <= V x <= lo / (1 - g) + L / (1 - g)) ->
  forall s, rollout Ph p n V s <= rollout P p n V s + m * (1 - g ^ n) / (1 - g).
Proof.
  intro HV. pose proof gr as Hg. revert p. induction n as [|n IH]; intros p s; simpl.
  - replace (m * (1 - 1) / (1 - g)) with 0 by (field; lra). lra.
  - destruct (facts s) as [Hm _].
    assert (Hd : 0 <= m * (1 - g ^ n) / (1 - g)).
    { apply Rle_mult_inv_pos; [|lra]. apply Rmult_le_pos; [assumption|].
      pose proof (pow_le_1 g n). lra. }
    pose proof (backup_discounted Ph (p 0%nat) _ _ _ Hd (IH (fun t => p (S t))) s) as G1. fold g in G1.
    assert (G2 : backup Ph (p 0%nat) (rollout P (fun t => p (S t)) n V) s
                 <= backup P (p 0%nat) (rollout P (fun t => p (S t)) n V) s + m).
    { apply E_shift. intro a. apply (Q_swap lo L Hrew); [|apply model_sym].
      apply (rollout_inside lo L Hrew). exact HV. }
    replace (m * (1 - g * g ^ n) / (1 - g)) with (m + g * (m * (1 - g ^ n) / (1 - g))) by (field; lra).
    lra.
Qed.

(* THEOREM 1, corrected, for a plan that is carried out for H steps before the next is made. *)
Theorem mopac_theorem_1_executed (plan : state K -> nat -> policy K) :
  (forall s, optimal_plan Ph H Vh s (plan s)) ->
  forall s, Vstar P s - executed_value P plan H HH s
            <= 2 * g ^ H * eps_V / (1 - g ^ H) + 2 * g * eps_f * L / (1 - g) ^ 2.
Proof.
  intros Hplan s. pose proof gr as Hg. destruct (facts s) as [Hm HV].
  pose proof (horizon_range (K := K) H HH) as HgH. fold g in HgH.
  set (c := 2 * (g ^ H * eps_V) + 2 * (m * (1 - g ^ H) / (1 - g))).
  assert (He : 0 <= g ^ H * eps_V) by (apply Rmult_le_pos; lra).
  assert (Hmg : 0 <= m * (1 - g ^ H) / (1 - g)).
  { apply Rle_mult_inv_pos; [|lra]. apply Rmult_le_pos; lra. }
  assert (Hd : forall x, Vstar P x <= execute P plan H (Vstar P) x + c).
  { intro x. pose proof (optimal_in_model_n H x) as G1.
    assert (G2 : iterate H (T Ph) (Vstar P) x <= iterate H (T Ph) Vh x + g ^ H * eps_V).
    { apply iterate_discounted; [lra|apply T_discounted|assumption|apply Vh_lower]. }
    pose proof (optimal_plan_value Ph H Vh x (plan x) (Hplan x)) as G3.
    pose proof (rollout_discounted Ph (plan x) H _ _ _ HV Vh_upper x) as G4. fold g in G4.
    pose proof (plan_swap (plan x) H (Vstar P) (Vstar_inside lo L Hrew P) x) as G5.
    unfold execute, c. lra. }
  assert (Hfix : forall x, execute P plan H (executed_value P plan H HH) x <= executed_value P plan H HH x).
  { intro x. pose proof (executed_value_fixed P plan H HH x). unfold execute. lra. }
  assert (Hc : 0 <= c) by (unfold c; lra).
  pose proof (comparison (g ^ H) _ _ (Vstar P) c HgH (execute_discounted P plan H) Hc Hd Hfix s) as G1.
  replace (2 * g ^ H * eps_V / (1 - g ^ H) + 2 * g * eps_f * L / (1 - g) ^ 2) with (c / (1 - g ^ H))
    by (unfold c, m; field; lra).
  lra.
Qed.
End Corrected.

(* ---------- the counterexample ---------- *)

(* State true: absorbing, reward 1. State false: reward 0; action true leads to state true with
   probability p, action false never does. The model believes p/2 - d and p/2 + d instead, so that it
   prefers action false for ever. *)
Section Counterexample.
Variables (g p d : R).
Hypothesis Hg : 0 < g < 1.
Hypothesis Hp : 0 < p < 1.
Hypothesis Hd : 0 < d <= p / 2.

Lemma g_range : 0 <= g < 1. Proof. lra. Qed.
Definition ce : task := Task two two false (fun s _ => if s then 1 else 0) g g_range.

Definition go (s a : bool) : R := if s then 1 else if a then p else 0.
Definition go_model (s a : bool) : R := if s then 1 else if a then p / 2 - d else p / 2 + d.
Lemma go_range s a : 0 <= go s a <= 1. Proof. unfold go. destruct s, a; lra. Qed.
Lemma go_model_range s a : 0 <= go_model s a <= 1. Proof. unfold go_model. destruct s, a; lra. Qed.
Definition ce_P : dynamics ce := fun s a => coin (go s a) (go_range s a).
Definition ce_Ph : dynamics ce := fun s a => coin (go_model s a) (go_model_range s a).

Definition ce_V : two -> R := fun s => if s then 1 / (1 - g) else g * p / ((1 - g) * (1 - g + g * p)).

Lemma gp : 0 < g * p. Proof. apply Rmult_lt_0_compat; lra. Qed.

Lemma ce_error s a : TV (ce_P s a) (ce_Ph s a) <= p / 2 + d.
Proof.
  unfold ce_P, ce_Ph. rewrite TV_coin. unfold go, go_model. destruct s, a; apply Rabs_le; lra.
Qed.

Lemma ce_error_attained : TV (ce_P false true) (ce_Ph false true) = p / 2 + d.
Proof. unfold ce_P, ce_Ph. rewrite TV_coin. simpl. rewrite Rabs_pos_eq; lra. Qed.

Lemma ce_Q_true V s a : Q ce_P V s a = (if s then 1 else 0) + g * ((1 - go s a) * V false + go s a * V true).
Proof. unfold Q, ce_P. rewrite E_coin. reflexivity. Qed.
Lemma ce_Q_model V s a :
  Q ce_Ph V s a = (if s then 1 else 0) + g * ((1 - go_model s a) * V false + go_model s a * V true).
Proof. unfold Q, ce_Ph. rewrite E_coin. reflexivity. Qed.

Lemma ce_V_pos : 0 < ce_V false < ce_V true.
Proof.
  unfold ce_V. pose proof gp. split.
  - apply Rdiv_lt_0_compat; [lra|]. apply Rmult_lt_0_compat; lra.
  - apply Rminus_gt_0_lt.
    replace (1 / (1 - g) - g * p / ((1 - g) * (1 - g + g * p))) with (1 / (1 - g + g * p)) by (field; lra).
    apply Rdiv_lt_0_compat; lra.
Qed.

Lemma ce_Vstar s : Vstar ce_P s = ce_V s.
Proof.
  symmetry. apply Vstar_unique. clear s. intro s. symmetry. pose proof ce_V_pos as Hpos. pose proof gp.
  apply (best_eq (X := two) _ _ _ true).
  - intro a. rewrite ce_Q_true. destruct s; cbv beta iota delta [go].
    + unfold ce_V. apply Req_le. field. lra.
    + assert (Ha : g * ((1 - p) * ce_V false + p * ce_V true) = ce_V false) by (unfold ce_V; field; lra).
      destruct a; [lra|].
      assert (0 <= (1 - g) * ce_V false) by (apply Rmult_le_pos; lra). lra.
  - rewrite ce_Q_true. destruct s; simpl; unfold ce_V; field; lra.
Qed.

(* in the model, whatever the horizon, state true stays the better one *)
Lemma ce_model_order n : iterate n (T ce_Ph) ce_V false < iterate n (T ce_Ph) ce_V true.
Proof.
  assert (Hn : iterate n (T ce_Ph) ce_V true = 1 / (1 - g) /\ iterate n (T ce_Ph) ce_V false < 1 / (1 - g));
    [|destruct Hn; lra].
  assert (Hg1 : 0 < 1 / (1 - g)) by (apply Rdiv_lt_0_compat; lra).
  induction n as [|n [IH1 IH0]].
  - split; [reflexivity|]. exact (proj2 ce_V_pos).
  - change (iterate (S n) (T ce_Ph) ce_V) with (T ce_Ph (iterate n (T ce_Ph) ce_V)).
    set (W := iterate n (T ce_Ph) ce_V) in *. clearbody W. split.
    + apply (best_eq (X := two) _ _ _ true); [intro a; apply Req_le|]; rewrite ce_Q_model;
        cbv beta iota delta [go_model]; rewrite IH1; field; lra.
    + unfold T, best. set (a := argmax _ _). rewrite ce_Q_model. cbv iota. rewrite IH1.
      assert (Hq : 0 <= go_model false a <= 1) by apply go_model_range. unfold go_model in Hq |- *.
      set (q := if a then p / 2 - d else p / 2 + d) in *.
      assert (g * ((1 - q) * W false + q * (1 / (1 - g))) <= g * (1 / (1 - g))).
      { apply Rmult_le_compat_l; [lra|]. nra. }
      nra.
Qed.

Lemma ce_prefers n : Q ce_Ph (iterate n (T ce_Ph) ce_V) false true < T ce_Ph (iterate n (T ce_Ph) ce_V) false.
Proof.
  apply Rlt_le_trans with (Q ce_Ph (iterate n (T ce_Ph) ce_V) false false);
    [|exact (best_ge (X := two) _ _ false)].
  pose proof (ce_model_order n). set (W := iterate n (T ce_Ph) ce_V) in *. clearbody W.
  rewrite !ce_Q_model. cbv iota beta delta [go_model].
  assert (0 < g * (d * (W true - W false))) by (repeat apply Rmult_lt_0_compat; lra). nra.
Qed.

Lemma ce_only_false (q : dist two) : q true = 0 -> q false = 1.
Proof. intro H. pose proof (mass_sum q) as Hs. rewrite sum_two in Hs. lra. Qed.

(* every receding policy stays in state false *)
Lemma ce_receding H pi : receding ce_Ph H ce_V pi -> (1 <= H)%nat -> value ce_P pi false = 0.
Proof.
  intros Hpi h. destruct H as [|n]; [lia|].
  pose proof (receding_greedy ce_Ph n ce_V pi Hpi false) as Hgr.
  assert (H0 : mass (X := two) (pi false) true = 0).
  { apply (E_strict (pi false) (Q ce_Ph (iterate n (T ce_Ph) ce_V) false)
             (T ce_Ph (iterate n (T ce_Ph) ce_V) false)).
    - intro a. apply best_ge.
    - exact Hgr.
    - apply ce_prefers. }
  pose proof (value_fixed ce_P pi false) as Hf. unfold backup in Hf.
  rewrite (E_two (pi false)), !ce_Q_true, H0, (ce_only_false _ H0) in Hf.
  cbv iota beta delta [go] in Hf. nra.
Qed.

(* every executed plan stays there too *)
Lemma ce_plan n q V : rollout ce_Ph q n ce_V false = iterate n (T ce_Ph) ce_V false ->
  rollout ce_P q n V false = g ^ n * V false.
Proof.
  revert q. induction n as [|n IH]; intros q Hq; [simpl; ring|].
  change (backup ce_Ph (q 0%nat) (rollout ce_Ph (fun t => q (S t)) n ce_V) false
          = T ce_Ph (iterate n (T ce_Ph) ce_V) false) in Hq.
  change (backup ce_P (q 0%nat) (rollout ce_P (fun t => q (S t)) n V) false = g ^ S n * V false).
  set (X := rollout ce_Ph (fun t => q (S t)) n ce_V) in *.
  set (W := iterate n (T ce_Ph) ce_V) in *.
  assert (HX : forall x, X x <= W x) by (intro; apply rollout_le).
  assert (HQ : forall a, Q ce_Ph X false a <= Q ce_Ph W false a).
  { intro a. assert (H0 : forall x, X x <= W x + 0) by (intro x; pose proof (HX x); lra).
    pose proof (Q_shift ce_Ph X W 0 false a H0). lra. }
  assert (HT : forall a, Q ce_Ph X false a <= T ce_Ph W false).
  { intro a. eapply Rle_trans; [apply HQ|]. apply best_ge. }
  assert (H0 : mass (X := two) (q 0%nat false) true = 0).
  { apply (E_strict (q 0%nat false) (Q ce_Ph X false) (T ce_Ph W false)).
    - exact HT.
    - exact Hq.
    - eapply Rle_lt_trans; [apply HQ|apply ce_prefers]. }
  pose proof (ce_only_false _ H0) as H1.
  (* the tail is optimal as well: the model goes on from state false with positive probability *)
  assert (Htail : X false = W false).
  { unfold backup in Hq. rewrite (E_two (q 0%nat false)), H0, H1 in Hq.
    assert (HqF : Q ce_Ph X false false = T ce_Ph W false) by lra.
    assert (HF : Q ce_Ph W false false <= T ce_Ph W false) by apply best_ge.
    rewrite ce_Q_model in HqF, HF. cbv iota beta delta [go_model] in HqF, HF.
    pose proof (HX false). pose proof (HX true).
    destruct (Rle_lt_or_eq_dec _ _ (HX false)) as [Hlt|]; [exfalso|assumption].
    assert (0 < g * ((1 - (p / 2 + d)) * (W false - X false))) by (repeat apply Rmult_lt_0_compat; lra).
    assert (0 <= g * ((p / 2 + d) * (W true - X true))) by (repeat apply Rmult_le_pos; lra). nra. }
  unfold backup. rewrite (E_two (q 0%nat false)), !ce_Q_true, H0, H1.
  cbv iota beta delta [go]. rewrite (IH (fun t => q (S t)) Htail). simpl. ring.
Qed.

Lemma ce_executed H h plan :
  (forall s, optimal_plan ce_Ph H ce_V s (plan s)) -> executed_value ce_P plan H h false = 0.
Proof.
  intro Hplan. pose proof (executed_value_fixed ce_P plan H h false) as Hf.
  rewrite (ce_plan H (plan false)) in Hf by (apply optimal_plan_value, Hplan).
  pose proof (horizon_range (K := ce) H h) as HgH. simpl in HgH. nra.
Qed.
End Counterexample.

(* The right side of (2), as printed. *)
Definition printed (g : R) (H : nat) (r_max eps_f eps_V : R) : R :=
  2 * g ^ H * eps_V / (1 - g ^ H) + r_max * ((1 - g ^ H) / (1 - g)) * eps_f.

(* gamma = 9/10, rewards in [0,1], V^ = V* exactly, L1 error 1/5: both plays lose 90/19 = 4.74 in one
   state, for every H; the printed bound is below 2 for every H. *)
Theorem mopac_theorem_1_printed_fails :
  exists (K : task) (P Ph : dynamics K) (Vh : state K -> R) (s : state K),
    gamma K = 9 / 10 /\
    (forall x a, 0 <= reward (t := K) x a <= 1) /\
    (forall x a, L1 (P x a) (Ph x a) <= 1 / 5) /\
    (forall x, Vh x = Vstar P x) /\
    forall (H : nat) (h : (1 <= H)%nat),
      printed (gamma K) H 1 (1 / 5) 0 < 90 / 19 /\
      (forall pi, receding Ph H Vh pi -> Vstar P s - value P pi s = 90 / 19) /\
      (forall plan, (forall x, optimal_plan Ph H Vh x (plan x)) ->
                    Vstar P s - executed_value P plan H h s = 90 / 19).
Proof.
  assert (Hg : 0 < 9 / 10 < 1) by lra. assert (Hp : 0 < 1 / 10 < 1) by lra.
  assert (Hd : 0 < 1 / 20 <= 1 / 10 / 2) by lra.
  exists (ce _ Hg), (ce_P _ _ Hg Hp), (ce_Ph _ _ _ Hg Hp Hd), (ce_V (9 / 10) (1 / 10)), false.
  assert (HV : Vstar (ce_P _ _ Hg Hp) false = 90 / 19).
  { rewrite (ce_Vstar _ _ Hg Hp). unfold ce_V. field. }
  split; [reflexivity|]. split; [intros [] a; simpl; lra|]. split; [|split].
  - intros x a. pose proof (ce_error _ _ _ Hg Hp Hd x a) as H. unfold TV in H. lra.
  - intro x. symmetry. apply (ce_Vstar _ _ Hg Hp).
  - intros H h. split; [|split].
    + unfold printed. simpl gamma. pose proof (pow_le_1 (9 / 10) H) as Hpow.
      assert (0 <= (9 / 10) ^ H <= 1) by (apply Hpow; lra). set (x := (9 / 10) ^ H) in *.
      assert (Hx : x < 1).
      { pose proof (horizon_range (K := ce _ Hg) H h) as HH. simpl in HH. exact (proj2 HH). }
      replace (2 * x * 0 / (1 - x) + 1 * ((1 - x) / (1 - 9 / 10)) * (1 / 5)) with (2 * (1 - x)) by (field; lra).
      lra.
    + intros pi Hpi. rewrite (ce_receding _ _ _ Hg Hp Hd H pi Hpi h), HV. ring.
    + intros plan Hplan. rewrite (ce_executed _ _ _ Hg Hp Hd H h plan Hplan), HV. ring.
Qed.

(* No smaller constant in front of the model term would do: for every discount and every H, both plays
   come as near to 2 gamma eps_f L / (1-gamma)^2 as one likes, with V^ = V*. *)
Theorem mopac_theorem_1_model_term_tight (g rho : R) :
  0 < g < 1 -> rho < 1 ->
  exists (K : task) (P Ph : dynamics K) (Vh : state K -> R) (s : state K) (eps_f : R),
    gamma K = g /\ rewards_within K 0 1 /\ 0 < eps_f /\
    (forall x a, TV (P x a) (Ph x a) <= eps_f) /\
    (forall x, Vh x = Vstar P x) /\
    forall (H : nat) (h : (1 <= H)%nat),
      (forall pi, receding Ph H Vh pi ->
         rho * (2 * g * eps_f * 1 / (1 - g) ^ 2) < Vstar P s - value P pi s) /\
      (forall plan, (forall x, optimal_plan Ph H Vh x (plan x)) ->
         rho * (2 * g * eps_f * 1 / (1 - g) ^ 2) < Vstar P s - executed_value P plan H h s).
Proof.
  intros Hg Hrho. set (r := Rmax 0 rho).
  assert (Hr : 0 <= r < 1 /\ rho <= r).
  { unfold r. split; [split|]; [apply Rmax_l| |apply Rmax_r]. apply Rmax_lub_lt; lra. }
  destruct Hr as [Hr Hrr]. clearbody r.
  set (x := (1 - g) * (1 - r) / 4).
  assert (Hprod : 0 < (1 - g) * (1 - r) <= 1) by (split; [apply Rmult_lt_0_compat; lra|nra]).
  assert (Hx : 0 < x <= 1 / 4) by (unfold x; lra).
  assert (Hp : 0 < x < 1) by lra.
  assert (Hd : 0 < x * x / 2 <= x / 2) by (split; nra).
  assert (Hgap : rho * (2 * g * (x / 2 + x * x / 2) * 1 / (1 - g) ^ 2)
                 < g * x / ((1 - g) * (1 - g + g * x))).
  { assert (Hb : 0 < 2 * g * (x / 2 + x * x / 2) * 1 / (1 - g) ^ 2).
    { apply Rdiv_lt_0_compat; [|apply pow_lt; lra]. repeat apply Rmult_lt_0_compat; lra. }
    apply Rle_lt_trans with (r * (2 * g * (x / 2 + x * x / 2) * 1 / (1 - g) ^ 2)).
    { apply Rmult_le_compat_r; lra. }
    apply Rminus_gt_0_lt.
    assert (Hgx : 0 < g * x) by (apply Rmult_lt_0_compat; lra).
    replace (g * x / ((1 - g) * (1 - g + g * x)) - r * (2 * g * (x / 2 + x * x / 2) * 1 / (1 - g) ^ 2))
      with (g * x / ((1 - g) ^ 2 * (1 - g + g * x)) * ((1 - g) - r * ((1 + x) * (1 - g + g * x))))
      by (field; lra).
    apply Rmult_lt_0_compat.
    - apply Rdiv_lt_0_compat; [assumption|]. apply Rmult_lt_0_compat; [apply pow_lt; lra|lra].
    - assert (H1 : (1 + x) * (1 - g + g * x) <= (1 - g) + 2 * x).
      { replace ((1 + x) * (1 - g + g * x)) with ((1 - g) + x * (1 + g * x)) by ring. nra. }
      assert (H2 : r * ((1 + x) * (1 - g + g * x)) <= r * ((1 - g) + 2 * x)).
      { apply Rmult_le_compat_l; lra. }
      assert (H3 : r * (2 * x) <= 2 * x) by nra.
      assert (H4 : 2 * x = (1 - g) * (1 - r) / 2) by (unfold x; field). lra. }
  exists (ce _ Hg), (ce_P _ _ Hg Hp), (ce_Ph _ _ _ Hg Hp Hd), (ce_V g x), false, (x / 2 + x * x / 2).
  assert (HV : Vstar (ce_P _ _ Hg Hp) false = g * x / ((1 - g) * (1 - g + g * x))).
  { rewrite (ce_Vstar _ _ Hg Hp). reflexivity. }
  split; [reflexivity|]. split; [intros [] a; simpl; lra|]. split; [lra|]. split; [|split].
  - apply ce_error.
  - intro y. symmetry. apply (ce_Vstar _ _ Hg Hp).
  - intros H h. split.
    + intros pi Hpi. rewrite (ce_receding _ _ _ Hg Hp Hd H pi Hpi h), HV. lra.
    + intros plan Hplan. rewrite (ce_executed _ _ _ Hg Hp Hd H h plan Hplan), HV. lra.
Qed.
