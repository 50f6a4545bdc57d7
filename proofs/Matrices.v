(* Matrices over finite sets of coordinates, and what is used of a matrix norm. *)

Require Import Reals Lra List FiniteSpace.
Require FinFun.
Import ListNotations.
Open Scope R_scope.

Definition mat (I J : space) : Type := I -> J -> R.
Definition mmul {I J L : space} (A : mat I J) (B : mat J L) : mat I L := fun i l => sum (fun j => A i j * B j l).
Definition madd {I J : space} (A B : mat I J) : mat I J := fun i j => A i j + B i j.
Definition msub {I J : space} (A B : mat I J) : mat I J := fun i j => A i j - B i j.
Definition mscal {I J : space} (x : R) (A : mat I J) : mat I J := fun i j => x * A i j.
Definition mzero {I J : space} : mat I J := fun _ _ => 0.

(* the disjoint union of two sets of coordinates *)
Lemma total_NoDup_app {A} (l k : list A) :
  NoDup l -> NoDup k -> (forall x, In x l -> ~ In x k) -> NoDup (l ++ k).
Proof.
  intros Hl Hk H. induction Hl as [|x l Hx Hl IH]; simpl; [exact Hk|]. constructor.
  - rewrite in_app_iff. intros [Hin|Hin]; [contradiction|]. apply (H x); [left; reflexivity|exact Hin].
  - apply IH. intros y Hy. apply H. right. exact Hy.
Qed.

Definition both (I J : space) : space.
Proof.
  refine (Space (I + J) (map inl (points I) ++ map inr (points J)) _ _ _).
  - intros [x|x]; apply in_or_app; [left|right]; apply in_map, points_all.
  - apply total_NoDup_app.
    + apply FinFun.Injective_map_NoDup; [intros x y Hxy; injection Hxy; auto|apply points_once].
    + apply FinFun.Injective_map_NoDup; [intros x y Hxy; injection Hxy; auto|apply points_once].
    + intros x Hx Hy. apply in_map_iff in Hx. apply in_map_iff in Hy.
      destruct Hx as [u [<- _]]. destruct Hy as [v [Hv _]]. discriminate.
  - intros [x|x] [y|y].
    + destruct (same x y) as [->|Hn]; [left; reflexivity|right; intro Hxy; injection Hxy; exact Hn].
    + right. discriminate.
    + right. discriminate.
    + destruct (same x y) as [->|Hn]; [left; reflexivity|right; intro Hxy; injection Hxy; exact Hn].
Defined.

(* A above B *)
Definition stack {I J L : space} (A : mat I L) (B : mat J L) : mat (both I J) L :=
  fun i l => match i with inl x => A x l | inr y => B y l end.

(* What is used of a matrix norm. The spectral and the Frobenius norm have it; the latter is
   constructed below, so the record is inhabited. *)
Record matrix_norm := MatrixNorm {
  nrm : forall {I J : space}, mat I J -> R;
  nrm_ext : forall I J (A B : mat I J), (forall i j, A i j = B i j) -> nrm A = nrm B;
  nrm_nonneg : forall I J (A : mat I J), 0 <= nrm A;
  nrm_zero : forall I J, nrm (@mzero I J) = 0;
  nrm_scal : forall I J x (A : mat I J), nrm (mscal x A) = Rabs x * nrm A;
  nrm_triangle : forall I J (A B : mat I J), nrm (madd A B) <= nrm A + nrm B;
  nrm_mul : forall I J L (A : mat I J) (B : mat J L), nrm (mmul A B) <= nrm A * nrm B;
  nrm_stack : forall I J L (A : mat I L) (B : mat J L),
    nrm (stack A B) <= sqrt (nrm A ^ 2 + nrm B ^ 2)
}.
Arguments nrm m {I J} A.

Section Norms.
Variable N : matrix_norm.

Lemma nrm_product I J L (A A' : mat I J) (B B' : mat J L) :
  nrm N (msub (mmul A' B') (mmul A B)) <= nrm N (msub A' A) * nrm N B' + nrm N A * nrm N (msub B' B).
Proof.
  rewrite (nrm_ext N _ _ _ (madd (mmul (msub A' A) B') (mmul A (msub B' B)))).
  - eapply Rle_trans; [apply nrm_triangle|]. apply Rplus_le_compat; apply nrm_mul.
  - intros i l. unfold msub, madd, mmul. rewrite <- sum_minus, <- sum_plus. apply sum_ext. intro j. ring.
Qed.

(* the same, with the other factor left in place *)
Lemma nrm_product' I J L (A A' : mat I J) (B B' : mat J L) :
  nrm N (msub (mmul A' B') (mmul A B)) <= nrm N (msub A' A) * nrm N B + nrm N A' * nrm N (msub B' B).
Proof.
  rewrite (nrm_ext N _ _ _ (madd (mmul (msub A' A) B) (mmul A' (msub B' B)))).
  - eapply Rle_trans; [apply nrm_triangle|]. apply Rplus_le_compat; apply nrm_mul.
  - intros i l. unfold msub, madd, mmul. rewrite <- sum_minus, <- sum_plus. apply sum_ext. intro j. ring.
Qed.

Lemma nrm_sum I J (A A' B B' : mat I J) :
  nrm N (msub (madd A' B') (madd A B)) <= nrm N (msub A' A) + nrm N (msub B' B).
Proof.
  rewrite (nrm_ext N _ _ _ (madd (msub A' A) (msub B' B))); [apply nrm_triangle|].
  intros i j. unfold msub, madd. ring.
Qed.
End Norms.

(* ---------- the Frobenius norm ---------- *)

Definition dsum {I J : space} (A : mat I J) : R := sum (fun i => sum (fun j => A i j)).

Lemma dsum_nonneg {I J : space} (A : mat I J) : (forall i j, 0 <= A i j) -> 0 <= dsum A.
Proof. intro H. apply sum_nonneg. intro i. apply sum_nonneg. intro j. apply H. Qed.
Lemma dsum_ext {I J : space} (A B : mat I J) : (forall i j, A i j = B i j) -> dsum A = dsum B.
Proof. intro H. apply sum_ext. intro i. apply sum_ext. intro j. apply H. Qed.
Lemma dsum_le {I J : space} (A B : mat I J) : (forall i j, A i j <= B i j) -> dsum A <= dsum B.
Proof. intro H. apply sum_le. intro i. apply sum_le. intro j. apply H. Qed.
Lemma dsum_lin {I J : space} (A B : mat I J) a b :
  dsum (fun i j => a * A i j + b * B i j) = a * dsum A + b * dsum B.
Proof.
  unfold dsum. rewrite <- sum_lin. apply sum_ext. intro i. apply sum_lin.
Qed.
Lemma dsum_plus {I J : space} (A B : mat I J) : dsum (fun i j => A i j + B i j) = dsum A + dsum B.
Proof.
  rewrite (dsum_ext _ (fun i j => 1 * A i j + 1 * B i j)) by (intros; ring). rewrite dsum_lin. ring.
Qed.

Lemma discriminant X S Y : 0 <= X -> 0 <= Y -> (forall t, 0 <= X - 2 * t * S + t ^ 2 * Y) -> S ^ 2 <= X * Y.
Proof.
  intros HX HY H. destruct (Rle_lt_or_eq_dec 0 Y HY) as [HYp|HY0].
  - pose proof (H (S / Y)) as H1.
    assert (H2 : Y * (X - 2 * (S / Y) * S + (S / Y) ^ 2 * Y) = X * Y - S ^ 2) by (field; lra).
    assert (0 <= Y * (X - 2 * (S / Y) * S + (S / Y) ^ 2 * Y)) by (apply Rmult_le_pos; assumption). lra.
  - subst Y. destruct (Req_dec S 0) as [->|HS]; [lra|exfalso].
    pose proof (H ((X + 1) / (2 * S))) as H1.
    replace (X - 2 * ((X + 1) / (2 * S)) * S + ((X + 1) / (2 * S)) ^ 2 * 0) with (-1) in H1 by (field; exact HS).
    lra.
Qed.

Lemma cauchy_schwarz {I J : space} (A B : mat I J) :
  dsum (fun i j => A i j * B i j) ^ 2 <= dsum (fun i j => A i j ^ 2) * dsum (fun i j => B i j ^ 2).
Proof.
  apply discriminant; try (apply dsum_nonneg; intros; apply pow2_ge_0). intro t.
  replace (dsum (fun i j => A i j ^ 2) - 2 * t * dsum (fun i j => A i j * B i j) + t ^ 2 * dsum (fun i j => B i j ^ 2))
    with (dsum (fun i j => (A i j - t * B i j) ^ 2)).
  - apply dsum_nonneg. intros. apply pow2_ge_0.
  - rewrite (dsum_ext _ (fun i j => 1 * (1 * A i j ^ 2 + (- (2 * t)) * (A i j * B i j)) + t ^ 2 * B i j ^ 2))
      by (intros; ring).
    rewrite (dsum_lin (fun i j => 1 * A i j ^ 2 + (- (2 * t)) * (A i j * B i j)) (fun i j => B i j ^ 2)).
    rewrite (dsum_lin (fun i j => A i j ^ 2) (fun i j => A i j * B i j)). ring.
Qed.

Lemma sum_cauchy_schwarz {J : space} (x y : J -> R) :
  sum (fun j => x j * y j) ^ 2 <= sum (fun j => x j ^ 2) * sum (fun j => y j ^ 2).
Proof.
  pose proof (@cauchy_schwarz J one (fun j _ => x j) (fun j _ => y j)) as H.
  unfold dsum in H.
  assert (Hc : forall f : J -> R, sum (fun j => sum (X := one) (fun _ => f j)) = sum f).
  { intro f. apply sum_ext. intro j. unfold sum. simpl. ring. }
  rewrite !Hc in H. exact H.
Qed.

Definition frob {I J : space} (A : mat I J) : R := sqrt (dsum (fun i j => A i j ^ 2)).

Lemma frob_sq {I J : space} (A : mat I J) : frob A ^ 2 = dsum (fun i j => A i j ^ 2).
Proof. unfold frob. rewrite <- Rsqr_pow2, Rsqr_sqrt; [reflexivity|]. apply dsum_nonneg. intros. apply pow2_ge_0. Qed.

Lemma le_of_sq x y : 0 <= y -> x ^ 2 <= y ^ 2 -> x <= y.
Proof. intros Hy H. apply Rsqr_incr_0_var; [|exact Hy]. rewrite !Rsqr_pow2. exact H. Qed.

Lemma frob_nonneg I J (A : mat I J) : 0 <= frob A.
Proof. apply sqrt_pos. Qed.

Lemma frob_triangle I J (A B : mat I J) : frob (madd A B) <= frob A + frob B.
Proof.
  pose proof (frob_nonneg _ _ A). pose proof (frob_nonneg _ _ B).
  apply le_of_sq; [lra|]. rewrite frob_sq. unfold madd.
  rewrite (dsum_ext _ (fun i j => 1 * (A i j ^ 2 + B i j ^ 2) + 2 * (A i j * B i j))) by (intros; ring).
  rewrite (dsum_lin (fun i j => A i j ^ 2 + B i j ^ 2) (fun i j => A i j * B i j)), dsum_plus, <- !frob_sq.
  assert (Hcs : dsum (fun i j => A i j * B i j) <= frob A * frob B).
  { apply le_of_sq; [apply Rmult_le_pos; assumption|]. rewrite Rpow_mult_distr, !frob_sq. apply cauchy_schwarz. }
  nra.
Qed.

Lemma frob_mul I J L (A : mat I J) (B : mat J L) : frob (mmul A B) <= frob A * frob B.
Proof.
  apply le_of_sq; [apply Rmult_le_pos; apply frob_nonneg|]. rewrite Rpow_mult_distr, !frob_sq. unfold mmul.
  apply Rle_trans with (dsum (fun i l => sum (fun j => A i j ^ 2) * sum (fun j => B j l ^ 2))).
  - apply dsum_le. intros i l. apply sum_cauchy_schwarz.
  - apply Req_le. unfold dsum. rewrite (sum_swap (fun j l => B j l ^ 2)).
    set (b := sum (fun l => sum (fun j => B j l ^ 2))).
    rewrite (sum_ext _ (fun i => b * sum (fun j => A i j ^ 2))).
    + rewrite sum_scal. ring.
    + intro i. unfold b. rewrite sum_scal. ring.
Qed.

Lemma total_app {A} (l k : list A) f : total (l ++ k) f = total l f + total k f.
Proof. induction l as [|x l IH]; simpl; [ring|]. rewrite IH. ring. Qed.
Lemma total_map {A B} (h : A -> B) (l : list A) f : total (map h l) f = total l (fun x => f (h x)).
Proof. induction l as [|x l IH]; simpl; [reflexivity|]. rewrite IH. reflexivity. Qed.

Lemma frob_stack I J L (A : mat I L) (B : mat J L) :
  frob (stack A B) <= sqrt (frob A ^ 2 + frob B ^ 2).
Proof.
  rewrite !frob_sq. unfold frob. apply Req_le. f_equal. unfold dsum at 1, sum at 1. simpl points.
  rewrite total_app, !total_map. reflexivity.
Qed.

Definition frobenius : matrix_norm.
Proof.
  refine (MatrixNorm (fun I J A => @frob I J A) _ _ _ _ _ _ _).
  - intros I J A B H. unfold frob. f_equal. apply dsum_ext. intros i j. rewrite H. reflexivity.
  - exact frob_nonneg.
  - intros I J. unfold frob, mzero. rewrite (dsum_ext _ (fun i j => 0 * 0 + 0 * 0)) by (intros; ring).
    rewrite (dsum_lin (fun _ _ => 0) (fun _ _ => 0)). rewrite !Rmult_0_l, Rplus_0_r. apply sqrt_0.
  - intros I J x A. unfold frob, mscal.
    rewrite (dsum_ext _ (fun i j => x ^ 2 * A i j ^ 2 + 0 * A i j ^ 2)) by (intros; ring).
    rewrite dsum_lin, Rmult_0_l, Rplus_0_r, sqrt_mult_alt by apply pow2_ge_0.
    rewrite <- Rsqr_pow2, sqrt_Rsqr_abs. reflexivity.
  - exact frob_triangle.
  - exact frob_mul.
  - exact frob_stack.
Defined.
