(* Finite spaces, sums over them, distributions, expectations, total variation, maxima. *)

Require Import Reals Lra List.
Import ListNotations.
Open Scope R_scope.

(* ---------- small facts on absolute values ---------- *)

Lemma abs_le x y : Rabs x <= y -> - y <= x <= y.
Proof. intro H. pose proof (Rle_abs x). pose proof (Rle_abs (- x)) as H1. rewrite Rabs_Ropp in H1. lra. Qed.

(* ---------- sums over a list ---------- *)

Fixpoint total {A : Type} (l : list A) (f : A -> R) : R :=
  match l with [] => 0 | x :: l' => f x + total l' f end.

Lemma total_le {A} (l : list A) f h : (forall x, f x <= h x) -> total l f <= total l h.
Proof. intro H. induction l as [|x l IH]; simpl; [lra|]. pose proof (H x). lra. Qed.

Lemma total_ext {A} (l : list A) f h : (forall x, f x = h x) -> total l f = total l h.
Proof. intro H. induction l as [|x l IH]; simpl; [reflexivity|]. rewrite H, IH. reflexivity. Qed.

Lemma total_lin {A} (l : list A) f h a b :
  total l (fun x => a * f x + b * h x) = a * total l f + b * total l h.
Proof. induction l as [|x l IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma total_abs {A} (l : list A) f : Rabs (total l f) <= total l (fun x => Rabs (f x)).
Proof.
  induction l as [|x l IH]; simpl; [rewrite Rabs_R0; lra|].
  pose proof (Rabs_triang (f x) (total l f)). lra.
Qed.

Lemma total_nonneg {A} (l : list A) f : (forall x, 0 <= f x) -> 0 <= total l f.
Proof. intro H. induction l as [|x l IH]; simpl; [lra|]. pose proof (H x). lra. Qed.

Lemma total_term {A} (l : list A) f x : (forall y, 0 <= f y) -> In x l -> f x <= total l f.
Proof.
  intros H Hin. induction l as [|y l IH]; simpl; [destruct Hin|].
  pose proof (total_nonneg l f H). pose proof (H y).
  destruct Hin as [<-|Hin]; [lra|]. pose proof (IH Hin). lra.
Qed.

Lemma total_swap {A B} (l : list A) (k : list B) f :
  total l (fun x => total k (fun y => f x y)) = total k (fun y => total l (fun x => f x y)).
Proof.
  induction l as [|x l IH]; simpl.
  - induction k as [|y k IHk]; simpl; [reflexivity|]. rewrite <- IHk. ring.
  - rewrite IH. clear IH. induction k as [|y k IHk]; simpl; [ring|]. rewrite <- IHk. ring.
Qed.

(* ---------- a finite space: all its points, each once ---------- *)

Record space := Space {
  point :> Type;
  points : list point;
  points_all : forall x : point, In x points;
  points_once : NoDup points;
  same : forall x y : point, {x = y} + {x <> y}
}.
Arguments same {s} x y.

Definition sum {X : space} (f : X -> R) : R := total (points X) f.

Section Sums.
Context {X : space}.
Implicit Types f h : X -> R.

Lemma sum_le f h : (forall x, f x <= h x) -> sum f <= sum h.
Proof. apply total_le. Qed.
Lemma sum_ext f h : (forall x, f x = h x) -> sum f = sum h.
Proof. apply total_ext. Qed.
Lemma sum_lin f h a b : sum (fun x => a * f x + b * h x) = a * sum f + b * sum h.
Proof. apply total_lin. Qed.
Lemma sum_abs f : Rabs (sum f) <= sum (fun x => Rabs (f x)).
Proof. apply total_abs. Qed.
Lemma sum_nonneg f : (forall x, 0 <= f x) -> 0 <= sum f.
Proof. apply total_nonneg. Qed.
Lemma sum_term f x : (forall y, 0 <= f y) -> f x <= sum f.
Proof. intro H. apply total_term; [exact H|apply points_all]. Qed.
Lemma sum_plus f h : sum (fun x => f x + h x) = sum f + sum h.
Proof.
  rewrite (sum_ext (fun x => f x + h x) (fun x => 1 * f x + 1 * h x)) by (intro; ring).
  rewrite sum_lin. ring.
Qed.
Lemma sum_minus f h : sum (fun x => f x - h x) = sum f - sum h.
Proof.
  rewrite (sum_ext (fun x => f x - h x) (fun x => 1 * f x + (-1) * h x)) by (intro; ring).
  rewrite sum_lin. ring.
Qed.
Lemma sum_scal f a : sum (fun x => a * f x) = a * sum f.
Proof.
  rewrite (sum_ext (fun x => a * f x) (fun x => a * f x + 0 * f x)) by (intro; ring).
  rewrite sum_lin. ring.
Qed.

Lemma total_absent (l : list X) f x :
  ~ In x l -> total l (fun y => if same x y then f y else 0) = 0.
Proof.
  intro H. induction l as [|y l IH]; simpl; [reflexivity|].
  destruct (same x y) as [->|_]; [exfalso; apply H; left; reflexivity|].
  rewrite IH; [ring|]. intro Hin. apply H. right. exact Hin.
Qed.

(* a sum in which only one point counts *)
Lemma sum_pick f x : sum (fun y => if same x y then f y else 0) = f x.
Proof.
  unfold sum. pose proof (points_all X x) as Hin. pose proof (points_once X) as Hnd.
  induction Hnd as [|y l Hy Hnd IH]; [destruct Hin|]. simpl.
  destruct (same x y) as [->|Hxy].
  - rewrite total_absent by exact Hy. ring.
  - destruct Hin as [->|Hin]; [exfalso; apply Hxy; reflexivity|]. rewrite IH by exact Hin. ring.
Qed.

(* the largest value, and a point that has it *)
Definition argmax (x0 : X) f : X :=
  fold_right (fun x y => if Rle_dec (f y) (f x) then x else y) x0 (points X).
Definition best (x0 : X) f : R := f (argmax x0 f).

Lemma best_ge x0 f x : f x <= best x0 f.
Proof.
  unfold best, argmax. pose proof (points_all X x) as Hin.
  induction (points X) as [|y l IH]; simpl; [destruct Hin|].
  set (z := fold_right _ x0 l) in *.
  destruct (Rle_dec (f z) (f y)) as [Hle|Hgt]; destruct Hin as [->|Hin].
  - lra.
  - pose proof (IH Hin). lra.
  - lra.
  - exact (IH Hin).
Qed.

Lemma best_eq x0 f m x : (forall y, f y <= m) -> f x = m -> best x0 f = m.
Proof. intros H Hx. pose proof (best_ge x0 f x). pose proof (H (argmax x0 f)). unfold best in *. lra. Qed.

Lemma best_shift x0 f h d : (forall x, f x <= h x + d) -> best x0 f <= best x0 h + d.
Proof. intro H. unfold best at 1. pose proof (H (argmax x0 f)). pose proof (best_ge x0 h (argmax x0 f)). lra. Qed.
End Sums.

Lemma sum_swap {X Y : space} (f : X -> Y -> R) :
  sum (fun x => sum (fun y => f x y)) = sum (fun y => sum (fun x => f x y)).
Proof. apply total_swap. Qed.

(* ---------- distributions ---------- *)

Record dist (X : space) := Dist {
  mass :> X -> R;
  mass_nonneg : forall x, 0 <= mass x;
  mass_sum : sum mass = 1
}.
Arguments mass {X} d x.
Arguments mass_nonneg {X} d x.
Arguments mass_sum {X} d.

Definition E {X : space} (p : dist X) (f : X -> R) : R := sum (fun x => p x * f x).

Section Expectation.
Context {X : space}.
Implicit Types (p q : dist X) (f h : X -> R).

Lemma E_ext p f h : (forall x, f x = h x) -> E p f = E p h.
Proof. intro H. apply sum_ext. intro x. rewrite H. reflexivity. Qed.

Lemma E_lin p f h a b : E p (fun x => a * f x + b * h x) = a * E p f + b * E p h.
Proof.
  unfold E. rewrite <- sum_lin. apply sum_ext. intro x. ring.
Qed.

Lemma E_const p c : E p (fun _ => c) = c.
Proof.
  unfold E. rewrite (sum_ext _ (fun x => c * p x)) by (intro; ring).
  rewrite sum_scal, mass_sum. ring.
Qed.

Lemma E_minus p f h : E p (fun x => f x - h x) = E p f - E p h.
Proof. rewrite (E_ext p _ (fun x => 1 * f x + (-1) * h x)) by (intro; ring). rewrite E_lin. ring. Qed.

Lemma E_shift p f h d : (forall x, f x <= h x + d) -> E p f <= E p h + d.
Proof.
  intro H. unfold E. apply Rle_trans with (sum (fun x => 1 * (p x * h x) + d * p x)).
  - apply sum_le. intro x. pose proof (mass_nonneg p x). pose proof (H x). nra.
  - rewrite sum_lin, mass_sum. lra.
Qed.

Lemma E_le p f h : (forall x, f x <= h x) -> E p f <= E p h.
Proof.
  intro H. assert (E p f <= E p h + 0); [|lra]. apply E_shift. intro x. pose proof (H x). lra.
Qed.

Lemma E_upper p f c : (forall x, f x <= c) -> E p f <= c.
Proof. intro H. rewrite <- (E_const p c). apply E_le. exact H. Qed.

Lemma E_lower p f c : (forall x, c <= f x) -> c <= E p f.
Proof. intro H. rewrite <- (E_const p c). apply E_le. exact H. Qed.

Lemma E_best p x0 f : E p f <= best x0 f.
Proof. apply E_upper. intro x. apply best_ge. Qed.

(* an expectation that reaches the largest value gives no mass to points below it *)
Lemma E_strict p f m x : (forall y, f y <= m) -> E p f = m -> f x < m -> p x = 0.
Proof.
  intros Hle Heq Hlt. pose proof (mass_nonneg p x) as Hp.
  assert (H0 : sum (fun y => p y * (m - f y)) = 0).
  { rewrite (sum_ext _ (fun y => m * p y - p y * f y)) by (intro; ring).
    rewrite sum_minus, sum_scal, mass_sum. unfold E in Heq. lra. }
  assert (H1 : p x * (m - f x) <= 0).
  { rewrite <- H0. apply (sum_term (fun y => p y * (m - f y))). intro y.
    apply Rmult_le_pos; [apply mass_nonneg|]. pose proof (Hle y). lra. }
  destruct (Rle_lt_or_eq_dec 0 (p x) Hp) as [Hpos|]; [|lra].
  assert (0 < p x * (m - f x)) by (apply Rmult_lt_0_compat; lra). lra.
Qed.

(* a point mass *)
Lemma dirac_sum (x : X) : sum (fun y => if same x y then 1 else 0) = 1.
Proof. exact (sum_pick (fun _ => 1) x). Qed.
Definition dirac (x : X) : dist X.
Proof.
  refine (Dist X (fun y => if same x y then 1 else 0) _ (dirac_sum x)).
  intro y. destruct (same x y); lra.
Defined.

Lemma E_dirac x f : E (dirac x) f = f x.
Proof.
  unfold E. rewrite <- (sum_pick f x). apply sum_ext. intro y. simpl. destruct (same x y); ring.
Qed.

(* L1 distance and total variation *)
Definition L1 p q : R := sum (fun x => Rabs (p x - q x)).
Definition TV p q : R := L1 p q / 2.

Lemma L1_sym p q : L1 p q = L1 q p.
Proof. apply sum_ext. intro x. apply Rabs_minus_sym. Qed.
Lemma TV_sym p q : TV p q = TV q p.
Proof. unfold TV. rewrite L1_sym. reflexivity. Qed.
Lemma L1_nonneg p q : 0 <= L1 p q.
Proof. apply sum_nonneg. intro x. apply Rabs_pos. Qed.
Lemma TV_nonneg p q : 0 <= TV p q.
Proof. unfold TV. pose proof (L1_nonneg p q). lra. Qed.
Lemma TV_refl p : TV p p = 0.
Proof.
  unfold TV, L1. rewrite (sum_ext _ (fun x => 0 * p x)).
  - rewrite sum_scal. field.
  - intro x. replace (p x - p x) with 0 by ring. rewrite Rabs_R0. ring.
Qed.

(* Two expectations of a function whose values lie in an interval of length L differ by at most
   L times the total variation. *)
Lemma TV_swap p q f b L : (forall x, b <= f x <= b + L) -> E p f <= E q f + TV p q * L.
Proof.
  intro Hf. unfold TV, L1, E.
  assert (H : sum (fun x => p x * f x) - sum (fun x => q x * f x)
              <= L / 2 * sum (fun x => Rabs (p x - q x))).
  { replace (sum (fun x => p x * f x) - sum (fun x => q x * f x))
      with (sum (fun x => (p x - q x) * (f x - (b + L / 2)))).
    - rewrite <- sum_scal. apply sum_le. intro x. pose proof (Hf x).
      pose proof (Rle_abs (p x - q x)). pose proof (Rle_abs (- (p x - q x))) as Hn.
      rewrite Rabs_Ropp in Hn. set (d := p x - q x) in *. set (y := f x - (b + L / 2)) in *.
      assert (- (L / 2) <= y <= L / 2) by (unfold y; lra). nra.
    - rewrite (sum_ext _ (fun x => 1 * (p x * f x - q x * f x) + (- (b + L / 2)) * (p x - q x)))
        by (intro; ring).
      rewrite sum_lin, !sum_minus, !mass_sum. ring. }
  lra.
Qed.
End Expectation.

(* ---------- one point, and two ---------- *)

Definition one : space.
Proof.
  refine (Space unit [tt] _ _ _).
  - intros []. left. reflexivity.
  - constructor; [intros []|constructor].
  - intros [] []. left. reflexivity.
Defined.

Lemma sum_one (f : one -> R) : sum f = f tt.
Proof. unfold sum. simpl. ring. Qed.

Definition two : space.
Proof.
  refine (Space bool [false; true] _ _ Bool.bool_dec).
  - intros []; simpl; auto.
  - constructor; [simpl; intros [H|[]]; discriminate|]. constructor; [intros []|constructor].
Defined.

Lemma sum_two (f : two -> R) : sum f = f false + f true.
Proof. unfold sum. simpl. ring. Qed.

Lemma coin_nonneg q : 0 <= q <= 1 -> forall x : two, 0 <= (if x then q else 1 - q).
Proof. intros H []; lra. Qed.
Lemma coin_sum q : sum (fun x : two => if x then q else 1 - q) = 1.
Proof. rewrite sum_two. ring. Qed.

(* true with probability q *)
Definition coin (q : R) (H : 0 <= q <= 1) : dist two :=
  Dist two (fun x => if x then q else 1 - q) (coin_nonneg q H) (coin_sum q).

Lemma E_two (p : dist two) (f : two -> R) : E p f = p false * f false + p true * f true.
Proof. unfold E. apply sum_two. Qed.

Lemma E_coin q H (f : two -> R) : E (coin q H) f = (1 - q) * f false + q * f true.
Proof. rewrite E_two. reflexivity. Qed.

Lemma L1_coin q H q' H' : L1 (coin q H) (coin q' H') = 2 * Rabs (q - q').
Proof.
  unfold L1. rewrite sum_two. simpl.
  replace (1 - q - (1 - q')) with (- (q - q')) by ring. rewrite Rabs_Ropp. ring.
Qed.

Lemma TV_coin q H q' H' : TV (coin q H) (coin q' H') = Rabs (q - q').
Proof. unfold TV. rewrite L1_coin. field. Qed.
