#include "tests/compat/runner.h"

#include <iostream>
#include <set>

#include "base/text.h"
#include "tests/compat/side.h"

namespace keelson::compat {
namespace {

// The subject has the reference's behaviour, not that of the compatibility level: a real etcd of
// the reference's own series. Then nothing may differ.
bool same_series(const std::string& a, const std::string& b) {
  return a.substr(0, a.rfind('.')) == b.substr(0, b.rfind('.'));
}

class ScriptRun {
 public:
  ScriptRun(const Script& script, const RunOptions& options)
      : script_(script),
        options_(options),
        reference_(options.reference, script.flags),
        subject_(options.subject, script.flags) {}

  absl::Status start() {
    absl::Status status = reference_.launch();
    if (status.ok()) status = subject_.launch();
    if (status.ok()) status = reference_.start();
    const absl::Status other = status.ok() ? subject_.start() : status;
    if (!status.ok()) return absl::UnavailableError(cat("reference: ", status.message()));
    if (!other.ok()) return absl::UnavailableError(cat("subject: ", other.message()));
    equals_ = same_series(reference_.version(), subject_.version());
    return absl::OkStatus();
  }

  Tally run() {
    for (const Step& step : script_.steps) {
      if (!equals_ || !step.options.contains("subject")) take(step);
      if (died("reference", reference_) || died("subject", subject_)) {
        std::cout << script_.path << ":" << step.line << ": after this step\n";
        ++tally_.differences;
        break;
      }
    }
    return tally_;
  }

 private:
  static bool died(const char* which, Side& side) {
    if (!side.server().exited()) return false;
    std::cout << "the " << which << " " << side.server().exit_text() << "\n"
              << side.server().log_tail();
    return true;
  }

  void take(const Step& step) {
    static const std::set<std::string> asking = {"call", "raw",  "send",    "poll",
                                                 "http", "post", "progress"};
    ++tally_.steps;
    if (asking.contains(step.verb)) ++tally_.requests;
    const bool subject_only = step.options.contains("subject");
    const Answer reference = subject_only ? Answer() : reference_.take(step);
    const Answer subject = subject_.take(step);
    if (options_.verbose) {
      std::cout << step.line << ": " << step.verb << " " << step.rest.substr(0, 200) << "\n    "
                << show(reference).substr(0, 1500) << "\n";
    }
    if (const std::string found = judge(step, reference, subject); !found.empty()) {
      ++tally_.differences;
      report(step, reference, subject, found);
    }
  }

  std::string judge(const Step& step, const Answer& reference, const Answer& subject) {
    if (reference.broken) return cat("the reference: ", reference.message, "\n");
    if (!step.differs.empty() && !equals_) return judge_differing(step, reference, subject);
    return differences(reference, subject, {.code_only = step.options.contains("code")});
  }

  std::string judge_differing(const Step& step, const Answer& reference, const Answer& subject) {
    const std::string found = differences_from(step.subject, subject);
    if (found.empty()) ++tally_.agreed;
    if (found.empty() && !step.options.contains("subject") &&
        differences_from(step.subject, reference).empty()) {
      return "declared as different, but the reference answers the same\n";
    }
    return found;
  }

  void report(const Step& step, const Answer& reference, const Answer& subject,
              const std::string& found) const {
    std::cout << script_.path << ":" << step.line << ": " << step.verb << " "
              << step.rest.substr(0, 400) << "\n  reference: " << show(reference).substr(0, 2000)
              << "\n  subject:   " << show(subject).substr(0, 2000) << "\n";
    if (!step.differs.empty()) std::cout << "  declared:  " << step.subject << "\n";
    std::cout << "  " << found << std::flush;
  }

  const Script& script_;
  const RunOptions& options_;
  Side reference_;
  Side subject_;
  bool equals_ = false;
  Tally tally_;
};

}  // namespace

absl::StatusOr<Tally> run_script(const Script& script, const RunOptions& options) {
  ScriptRun run(script, options);
  if (const absl::Status status = run.start(); !status.ok()) return status;
  return run.run();
}

}  // namespace keelson::compat
