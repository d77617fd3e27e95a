// `npm run loom`: models what threads share, and tries every order of what they do with at most two preemptions.
import { main, run, step } from "./steps.mjs";

await main(() =>
  step("Loom: inbox, bell, mailbox, pending places", () =>
    // In a folder of its own: another flag would make cargo compile everything anew, each time one follows the other.
    run(
      "cargo",
      ["test", "--quiet", "--package", "zocket", "--lib", "--target-dir=target/loom", "sync::"],
      { env: { RUSTFLAGS: "--cfg zocket_loom", LOOM_MAX_PREEMPTIONS: "2" } },
    ),
  ),
);
