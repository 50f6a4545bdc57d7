(* What the main theorems rest on. `proofs/check` reads this file's output and refuses anything but the
   axioms behind Coq's real numbers. *)

Require Import Discounted Mdp Matrices.
Require Import T01_mopac_theorem_1 T02_mopac_lemma_2 T03_polo_lemma_1 T04_polo_lemma_2.
Require Import T05_demorl_lemma_1 T06_demorl_theorem_1 T07_maac_lemma_4_1 T09_maac_theorem_4_1.
Require Import T10_mpq_free_energy.

(* existence, uniqueness and meaning of V* and V^pi *)
Print Assumptions fixpoint_eq.
Print Assumptions fixpoint_unique.
Print Assumptions Vstar_fixed.
Print Assumptions Vstar_unique.
Print Assumptions Vstar_upper.
Print Assumptions Vstar_attained.
Print Assumptions value_le_Vstar.
Print Assumptions value_fixed.
Print Assumptions value_unique.
Print Assumptions value_is_return.
Print Assumptions executed_value_fixed.
Print Assumptions executed_value_is_return.
Print Assumptions best_plan_optimal.
Print Assumptions optimal_plan_value.
Print Assumptions receding_exists.

(* MoPAC *)
Print Assumptions mopac_theorem_1_receding.
Print Assumptions mopac_theorem_1_executed.
Print Assumptions mopac_theorem_1_printed_fails.
Print Assumptions mopac_theorem_1_model_term_tight.
Print Assumptions mopac_lemma_2.
Print Assumptions mopac_lemma_2_span.
Print Assumptions mopac_lemma_2_uniform.
Print Assumptions mopac_lemma_2_printed_fails.

(* POLO *)
Print Assumptions polo_lemma_1.
Print Assumptions polo_lemma_1_tight.
Print Assumptions polo_lemma_2_receding.
Print Assumptions polo_lemma_2_executed.
Print Assumptions polo_lemma_2_receding_tight.
Print Assumptions polo_lemma_2_receding_fails.
Print Assumptions polo_lemma_2_executed_tight.

(* M-DeMoRL *)
Print Assumptions demorl_lemma_1.
Print Assumptions demorl_theorem_1.
Print Assumptions demorl_theorem_1_printed_fails_0.
Print Assumptions demorl_theorem_1_printed_fails_1.

(* MAAC *)
Print Assumptions frobenius.
Print Assumptions maac_lemma_4_1.
Print Assumptions maac_lemma_4_1_printed_fails.
Print Assumptions maac_sum.
Print Assumptions maac_printed_sum_gap.
Print Assumptions maac_theorem_4_1.
Print Assumptions maac_theorem_4_1_span.
Print Assumptions maac_theorem_4_1_printed_fails.

(* MPQ *)
Print Assumptions KL_nonneg.
Print Assumptions gibbs_identity.
Print Assumptions gibbs_inequality.
Print Assumptions gibbs_attained.
Print Assumptions soft_lower.
Print Assumptions soft_attained.
Print Assumptions soft_le_joint.
Print Assumptions soft_eq_joint.
Print Assumptions mpq_discounted_joint_fails.
