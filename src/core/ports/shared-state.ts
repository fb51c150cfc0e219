/** A value that is kept, and that all instances share: plain JSON. */
export interface SharedValue<Value> {
  /** As it was when it was last read or changed here: another instance may have changed it since. Not to be changed. */
  readonly value: Value;
  /** `current`, once it has been read anew. */
  read(): Promise<Value>;
  /**
   * Changes the value, one at a time, whoever asks. `edit` changes what it is given, and may be called again, on what another instance has made
   * of the value meanwhile: it must do nothing else. What it answered last is the result. It is kept by the time that anything is that is
   * written to the backend after it.
   *
   * @throws {AppError} `queue_unavailable`
   */
  change<Result>(edit: (value: Value) => Result): Promise<Result>;
}

/** Small values by name: what accounts may do and have done, what keys have used. */
export interface SharedState {
  /** Whether other instances may change them too. */
  readonly shared: boolean;
  /** Epoch ms by a clock that does not jump, and by which all go who share the books. */
  now(): number;
  /** @param initial what it is if it has never been */
  open<Value extends object>(name: string, initial: () => Value): Promise<SharedValue<Value>>;
}
