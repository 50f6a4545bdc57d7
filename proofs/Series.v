(* Sums over 0, ..., n-1 and their closed forms. *)

Require Import Reals Lra Lia.
Open Scope R_scope.

Fixpoint psum (f : nat -> R) (n : nat) : R :=
  match n with O => 0 | S k => psum f k + f k end.

Lemma psum_le f h n : (forall k, (k < n)%nat -> f k <= h k) -> psum f n <= psum h n.
Proof.
  induction n as [|n IH]; intro H; simpl; [lra|].
  assert (psum f n <= psum h n) by (apply IH; intros k Hk; apply H; lia).
  pose proof (H n (Nat.lt_succ_diag_r n)). lra.
Qed.

Lemma psum_nonneg f n : (forall k, 0 <= f k) -> 0 <= psum f n.
Proof. intro H. induction n as [|n IH]; simpl; [lra|]. pose proof (H n). lra. Qed.

Lemma psum_geo x n : x <> 1 -> psum (fun k => x ^ k) n = (x ^ n - 1) / (x - 1).
Proof. intro H. induction n as [|n IH]; simpl; [field; lra|]. rewrite IH. field. lra. Qed.

(* sum_{h<n} h g^h, the sum of M-DeMoRL's Lemma 1 *)
Lemma psum_index_geo g n : g <> 1 ->
  psum (fun h => INR h * g ^ h) n
  = ((INR n - 1) * g ^ (n + 1) - INR n * g ^ n + g) / (1 - g) ^ 2.
Proof.
  intro Hg. induction n as [|k IH]; [simpl; field; lra|].
  change (psum (fun h => INR h * g ^ h) (S k)) with (psum (fun h => INR h * g ^ h) k + INR k * g ^ k).
  rewrite IH, S_INR. replace (S k + 1)%nat with (S (S k)) by lia. replace (k + 1)%nat with (S k) by lia.
  simpl. field. lra.
Qed.
