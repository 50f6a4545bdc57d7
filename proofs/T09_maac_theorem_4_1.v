(* MAAC (Clavera et al. 2020), Theorem 4.1; see 09-maac-theorem-4.1.md.

   The theorem follows from a bound d on the total variation between two policies (Lemma 4.2) by

     printed:  J(pi') >= J(pi) - 2 r_max d / (1 - gamma).

   Here: true with (1 - gamma)^2 for the unnormalised return that the paper defines; false as printed. *)

Require Import Reals Lra Lia FiniteSpace Discounted Mdp.
Open Scope R_scope.

(* in spans: L is the length of an interval that holds the rewards *)
Theorem maac_theorem_4_1_span (K : task) (P : dynamics K) (lo L d : R) (pi pi' : policy K) :
  rewards_within K lo L -> (forall s, TV (pi s) (pi' s) <= d) ->
  forall s, value P pi' s >= value P pi s - L * d / (1 - gamma K) ^ 2.
Proof.
  intros Hrew Hd s. pose proof (gamma_range K) as Hg.
  pose proof (policy_swap lo L Hrew P pi pi' d s Hd) as H.
  replace (L * d / (1 - gamma K) ^ 2) with (d * (L / (1 - gamma K)) / (1 - gamma K)) by (field; lra).
  lra.
Qed.

(* THEOREM 4.1, corrected, for |r| <= r_max; d = alpha c3 (eps_f c1(H) + eps_Q c2(H)) by Lemma 4.2. *)
Theorem maac_theorem_4_1 (K : task) (P : dynamics K) (r_max d : R) (pi pi' : policy K) :
  (forall (s : state K) (a : action K), Rabs (reward s a) <= r_max) -> (forall s, TV (pi s) (pi' s) <= d) ->
  forall s, value P pi' s >= value P pi s - 2 * r_max * d / (1 - gamma K) ^ 2.
Proof.
  intros Hr Hd s. apply (maac_theorem_4_1_span K P (- r_max) (2 * r_max)); [|exact Hd].
  intros x a. pose proof (abs_le _ _ (Hr x a)). lra.
Qed.

(* ---------- the counterexample to 1/(1 - gamma) ---------- *)

(* State true is absorbing and has reward 1. From state false, action true leads there. One policy takes it
   with probability 1/10, the other never. *)
Lemma nine_tenths : 0 <= 9 / 10 < 1. Proof. lra. Qed.
Definition door : task := Task two two false (fun s _ => if s then 1 else 0) (9 / 10) nine_tenths.
Definition door_P : dynamics door := fun s a => dirac (X := two) (if s then true else a).
Lemma tenth : 0 <= 1 / 10 <= 1. Proof. lra. Qed.
Lemma none : 0 <= 0 <= 1. Proof. lra. Qed.
Definition sometimes : policy door := fun _ => coin (1 / 10) tenth.
Definition never : policy door := fun _ => coin 0 none.

Lemma value_sometimes : value door_P sometimes false = 90 / 19.
Proof.
  rewrite <- (value_unique door_P sometimes (fun s : two => if s then 10 else 90 / 19)); [reflexivity|].
  intro s. unfold backup, sometimes. rewrite E_coin. unfold Q, door_P. rewrite !E_dirac. simpl. destruct s; field.
Qed.
Lemma value_never : value door_P never false = 0.
Proof.
  rewrite <- (value_unique door_P never (fun s : two => if s then 10 else 0)); [reflexivity|].
  intro s. unfold backup, never. rewrite E_coin. unfold Q, door_P. rewrite !E_dirac. simpl. destruct s; field.
Qed.

(* gamma = 9/10, rewards in [0,1], total variation 1/10: the loss is 90/19 = 4.74, the printed bound 2. *)
Theorem maac_theorem_4_1_printed_fails :
  exists (K : task) (P : dynamics K) (pi pi' : policy K) (s : state K),
    gamma K = 9 / 10 /\ (forall x a, 0 <= reward (t := K) x a <= 1) /\
    (forall x, TV (pi x) (pi' x) <= 1 / 10) /\
    value P pi s - value P pi' s = 90 / 19 /\ 2 * 1 * (1 / 10) / (1 - gamma K) = 2.
Proof.
  exists door, door_P, sometimes, never, false. split; [reflexivity|].
  split; [intros [] a; simpl; lra|]. split; [|split].
  - intro x. unfold sometimes, never. rewrite TV_coin. apply Rabs_le. lra.
  - rewrite value_sometimes, value_never. lra.
  - simpl. field.
Qed.
