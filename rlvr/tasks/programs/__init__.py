"""Tasks whose answers are programs: EvalPlus, LiveCodeBench."""
