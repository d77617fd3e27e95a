// The error of a question that concerns several processes.

/** The error of a question that some other process has not answered. `partial` is what this process and the others have answered. */
export interface PartialError<TAnswer = unknown> extends Error {
  /** Tells it from other errors. */
  readonly code: "PARTIAL";
  /** The answer of those processes that answered. */
  readonly partial: TAnswer;
}
