#include <memory>
#include <utility>

#include "base/text.h"
#include "raft/confchange/changer.h"
#include "raft/scenarios/handlers.h"

namespace keelson::raft::scenarios {
namespace {

struct State {
  tracker::Config config;
  tracker::ProgressMap progress;
  Index last_index;  // one more with each command
};

absl::StatusOr<confchange::Next> change(const State& state, const Command& command,
                                        const std::vector<ConfChangeSingle>& changes) {
  if (command.name == "simple") return confchange::simple(state.config, changes);
  if (command.name == "enter-joint") {
    bool auto_leave = false;
    if (const std::string* value = command.find("autoleave")) {
      absl::StatusOr<bool> parsed = parse_bool(*value);
      if (!parsed.ok()) return parsed.status();
      auto_leave = *parsed;
    }
    return confchange::enter_joint(state.config, auto_leave, changes);
  }
  if (command.name == "leave-joint") {
    if (!changes.empty()) return absl::InvalidArgumentError("this command takes no input");
    return confchange::leave_joint(state.config);
  }
  return absl::UnimplementedError("unknown command");
}

std::string run(State& state, const Command& command) {
  absl::StatusOr<std::vector<ConfChangeSingle>> changes = parse_conf_changes(command.input);
  if (!changes.ok()) return std::string(message_of(changes.status()));
  absl::StatusOr<confchange::Next> next = change(state, command, *changes);
  if (!next.ok()) return cat(message_of(next.status()), "\n");
  state.config = next->config;
  confchange::update_progress(*next, state.last_index, &state.progress);
  return tracker::to_string(state.config) + "\n" + tracker::to_string(state.progress);
}

}  // namespace

Handler conf_change_handler() {
  return [state = std::make_shared<State>()](const Command& command) {
    std::string output = run(*state, command);
    ++state->last_index;
    return output;
  };
}

}  // namespace keelson::raft::scenarios
