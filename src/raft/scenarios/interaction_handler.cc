#include <array>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/text.h"
#include "raft/describe.h"
#include "raft/scenarios/handlers.h"
#include "raft/scenarios/world.h"

namespace keelson::raft::scenarios {
namespace {

// Two ways to fail: the script is wrong (returned by a command as a ScriptError), or the member
// refuses (its text is the output).
struct ScriptError {
  std::string text;
};

// What a command answers: nothing, or the member's error.
using Result = absl::Status;

absl::Status failed(std::string_view why) { return absl::InvalidArgumentError(to_absl(why)); }

uint64_t number(const std::string& text) {
  absl::StatusOr<uint64_t> value = parse_number(text);
  if (!value.ok()) throw ScriptError{std::string(message_of(value.status()))};
  return *value;
}

bool boolean(const std::string& text) {
  absl::StatusOr<bool> value = parse_bool(text);
  if (!value.ok()) throw ScriptError{std::string(message_of(value.status()))};
  return *value;
}

size_t member_index(const World& world, const std::string& text) {
  const uint64_t id = number(text);
  if (id == 0 || id > world.size()) throw ScriptError{cat("no member ", text)};
  return id - 1;
}

const std::string& word(const Command& command, size_t i) {
  if (i >= command.arguments.size()) throw ScriptError{"missing argument"};
  return command.arguments[i].key;
}

size_t first_member(const World& world, const Command& command) {
  return member_index(world, word(command, 0));
}

// The bare words of the command, which name members.
std::vector<size_t> named_members(const World& world, const Command& command) {
  std::vector<size_t> members;
  for (const Argument& argument : command.arguments) {
    if (argument.values.empty()) members.push_back(member_index(world, argument.key));
  }
  return members;
}

const std::string& required(const Command& command, std::string_view key) {
  const std::string* value = command.find(key);
  if (!value) throw ScriptError{cat("missing argument: ", key)};
  return *value;
}

Result set_read_only(const std::string& value, Config* config) {
  if (value == "safe") {
    config->read_only_option = ReadOnlyOption::kSafe;
  } else if (value == "lease-based") {
    config->read_only_option = ReadOnlyOption::kLeaseBased;
  } else {
    return failed(cat("invalid read-only option ", quoted(value)));
  }
  return absl::OkStatus();
}

// One key=value of add-nodes. Beyond etcd-raft's own: the limits of Config that have no key there.
Result set_option(const std::string& key, const std::string& value, Config* config,
                  Snapshot* snapshot) {
  ConfState& members = snapshot->metadata.conf_state;
  using Setter = std::function<void()>;
  const std::unordered_map<std::string, Setter> setters = {
      {"voters", [&] { members.voters.push_back(MemberId(number(value))); }},
      {"learners", [&] { members.learners.push_back(MemberId(number(value))); }},
      {"inflight", [&] { config->max_inflight_msgs = static_cast<int>(number(value)); }},
      {"index", [&] { config->applied = snapshot->metadata.index = Index(number(value)); }},
      {"content", [&] { snapshot->data = Bytes::copy(value); }},
      {"async-storage-writes", [&] { config->async_storage_writes = boolean(value); }},
      {"prevote", [&] { config->pre_vote = boolean(value); }},
      {"checkquorum", [&] { config->check_quorum = boolean(value); }},
      {"max-committed-size-per-ready",
       [&] { config->max_committed_size_per_ready = number(value); }},
      {"disable-conf-change-validation",
       [&] { config->disable_conf_change_validation = boolean(value); }},
      {"step-down-on-removal", [&] { config->step_down_on_removal = boolean(value); }},
      {"inflight-bytes", [&] { config->max_inflight_bytes = number(value); }},
      {"max-size-per-msg", [&] { config->max_size_per_msg = number(value); }},
      {"max-uncommitted-size", [&] { config->max_uncommitted_entries_size = number(value); }},
      {"disable-proposal-forwarding",
       [&] { config->disable_proposal_forwarding = boolean(value); }},
  };
  if (key == "read-only") return set_read_only(value, config);
  auto setter = setters.find(key);
  if (setter != setters.end()) setter->second();
  return absl::OkStatus();
}

Result add_nodes(World& world, const Command& command) {
  Config config{.election_tick = 3, .heartbeat_tick = 1};
  config.max_inflight_msgs = std::numeric_limits<int32_t>::max();
  Snapshot snapshot;
  const uint64_t count = number(word(command, 0));
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      Result result = set_option(argument.key, value, &config, &snapshot);
      if (!result.ok()) return result;
    }
  }
  return world.add_members(count, config, &snapshot);
}

Result campaign(World& world, const Command& command) {
  return world.member(first_member(world, command)).node->campaign();
}

Result compact(World& world, const Command& command) {
  const size_t i = first_member(world, command);
  Result result = world.member(i).storage->compact(Index(number(word(command, 1))));
  if (result.ok()) world.print_log(i);
  return result;
}

MessageType message_type(const std::string& name) {
  for (int i = 0; i < kMessageTypes; ++i) {
    if (name_of(static_cast<MessageType>(i)) == name) return static_cast<MessageType>(i);
  }
  throw ScriptError{cat("unknown message type ", name)};
}

void add_dropped(std::vector<Recipient>& recipients, MemberId id) {
  for (const Recipient& other : recipients) {
    if (other.id == id) throw ScriptError{cat("can't both deliver and drop msgs to ", id.value)};
  }
  recipients.push_back({.id = id, .drop = true});
}

Result deliver_msgs(World& world, const Command& command) {
  std::optional<MessageType> type;
  std::vector<Recipient> recipients;
  for (const Argument& argument : command.arguments) {
    if (argument.values.empty()) recipients.push_back({.id = MemberId(number(argument.key))});
    for (const std::string& value : argument.values) {
      if (argument.key == "drop") add_dropped(recipients, MemberId(number(value)));
      if (argument.key == "type") type = message_type(value);
    }
  }
  if (world.deliver(type, recipients) == 0) world.transcript().print("no messages\n");
  return absl::OkStatus();
}

// For one member as it is; for several under a heading each.
Result for_each_named(World& world, const Command& command, std::string_view what,
                      absl::Status (World::*process)(size_t)) {
  const std::vector<size_t> members = named_members(world, command);
  for (size_t i : members) {
    Result result;
    if (members.size() > 1) {
      world.transcript().print(cat("> ", i + 1, " ", what, "\n"));
      world.transcript().indented([&] { result = (world.*process)(i); });
    } else {
      result = (world.*process)(i);
    }
    if (!result.ok()) return result;
  }
  return absl::OkStatus();
}

Result process_ready(World& world, const Command& command) {
  return for_each_named(world, command, "handling Ready", &World::process_ready);
}

Result process_append_thread(World& world, const Command& command) {
  return for_each_named(world, command, "processing append thread", &World::process_append_thread);
}

Result process_apply_thread(World& world, const Command& command) {
  return for_each_named(world, command, "processing apply thread", &World::process_apply_thread);
}

Result set_level(World& world, const std::string& name) {
  std::optional<int> level = Transcript::level_of(name);
  if (!level) return failed("log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]");
  world.transcript().set_level(*level);
  return absl::OkStatus();
}

Result log_level(World& world, const Command& command) {
  return set_level(world, word(command, 0));
}

Result raft_log(World& world, const Command& command) {
  world.print_log(first_member(world, command));
  return absl::OkStatus();
}

Result raft_state(World& world, const Command&) {
  for (size_t i = 0; i < world.size(); ++i) {
    const Status status = world.member(i).node->status();
    const bool voter = status.config.voters.contains(status.id);
    world.transcript().print(cat(status.id.value, ": ", name_of(status.soft_state.state), " (",
                                 voter ? "Voter" : "Non-Voter",
                                 ") Term:", status.hard_state.term.value,
                                 " Lead:", status.soft_state.lead.value, "\n"));
  }
  return absl::OkStatus();
}

Result set_randomized_election_timeout(World& world, const Command& command) {
  const uint64_t timeout = number(required(command, "timeout"));
  if (timeout == 0) throw ScriptError{"timeout must not be 0"};
  world.member(first_member(world, command))
      .node->set_randomized_election_timeout(static_cast<int>(timeout));
  return absl::OkStatus();
}

Result stabilize(World& world, const Command& command) {
  std::vector<size_t> members = named_members(world, command);
  if (members.empty()) {
    for (size_t i = 0; i < world.size(); ++i) members.push_back(i);
  }
  const int before = world.transcript().level();
  Result result;
  if (const std::string* level = command.find("log-level")) result = set_level(world, *level);
  if (result.ok()) result = world.stabilize(members);
  world.transcript().set_level(before);
  return result;
}

Result status(World& world, const Command& command) {
  const Status status = world.member(first_member(world, command)).node->status();
  world.transcript().print(tracker::to_string(status.progress));
  return absl::OkStatus();
}

Result tick(World& world, size_t i, int ticks) {
  for (int t = 0; t < ticks; ++t) world.member(i).node->tick();
  return absl::OkStatus();
}

Result tick_election(World& world, const Command& command) {
  const size_t i = first_member(world, command);
  return tick(world, i, world.member(i).config.election_tick);
}

Result tick_heartbeat(World& world, const Command& command) {
  const size_t i = first_member(world, command);
  return tick(world, i, world.member(i).config.heartbeat_tick);
}

Result transfer_leadership(World& world, const Command& command) {
  const size_t from = member_index(world, required(command, "from"));
  const size_t to = member_index(world, required(command, "to"));
  world.member(from).node->transfer_leader(MemberId(to + 1));
  return absl::OkStatus();
}

Result forget_leader(World& world, const Command& command) {
  world.member(first_member(world, command)).node->forget_leader().IgnoreError();
  return absl::OkStatus();
}

Result send_snapshot(World& world, const Command& command) {
  const std::vector<size_t> members = named_members(world, command);
  if (members.size() != 2) throw ScriptError{"send-snapshot takes two members"};
  Member& from = world.member(members[0]);
  absl::StatusOr<SnapshotPtr> snapshot = from.storage->snapshot();
  if (!snapshot.ok()) return snapshot.status();
  Message message{.type = MessageType::kMsgSnap,
                  .to = MemberId(members[1] + 1),
                  .from = from.config.id,
                  .term = from.node->basic_status().hard_state.term};
  message.snapshot = *snapshot;
  world.transcript().print(describe(message));
  world.enqueue(std::move(message));
  return absl::OkStatus();
}

Result propose(World& world, const Command& command) {
  if (command.arguments.size() != 2 || !command.arguments[1].values.empty()) {
    throw ScriptError{"expected exactly one key with no vals"};
  }
  return world.member(first_member(world, command)).node->propose(Bytes::copy(word(command, 1)));
}

// Not etcd-raft's: several entries as one proposal.
Result propose_batch(World& world, const Command& command) {
  std::vector<Entry> entries;
  for (size_t i = 1; i < command.arguments.size(); ++i) {
    entries.push_back({.data = Bytes::copy(word(command, i))});
  }
  return world.member(first_member(world, command)).node->propose(entries);
}

// Not etcd-raft's: a linearizable read with the given context.
Result read_index(World& world, const Command& command) {
  world.member(first_member(world, command)).node->read_index(Bytes::copy(word(command, 1)));
  return absl::OkStatus();
}

// Not etcd-raft's: what a transport says about a snapshot it sent.
Result report_snapshot(World& world, const Command& command) {
  const std::vector<size_t> members = named_members(world, command);
  if (members.size() != 2) throw ScriptError{"report-snapshot takes two members"};
  const bool failure = boolean(required(command, "failed"));
  world.member(members[0])
      .node->report_snapshot(MemberId(members[1] + 1),
                             failure ? SnapshotStatus::kFailure : SnapshotStatus::kFinish);
  return absl::OkStatus();
}

Result transition_of(const std::string& name, ConfChangeTransition* transition) {
  if (name == "auto") {
    *transition = ConfChangeTransition::kAuto;
  } else if (name == "implicit") {
    *transition = ConfChangeTransition::kJointImplicit;
  } else if (name == "explicit") {
    *transition = ConfChangeTransition::kJointExplicit;
  } else {
    return failed(cat("unknown transition ", name));
  }
  return absl::OkStatus();
}

Result propose_conf_change(World& world, const Command& command) {
  RawNode& node = *world.member(first_member(world, command)).node;
  bool v1 = false;
  ConfChangeV2 change;
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      Result result;
      if (argument.key == "v1") {
        absl::StatusOr<bool> parsed = parse_bool(value);
        result = parsed.status();
        if (parsed.ok()) v1 = *parsed;
      } else if (argument.key == "transition") {
        result = transition_of(value, &change.transition);
      } else {
        result = failed(cat("unknown command ", argument.key));
      }
      if (!result.ok()) return result;
    }
  }
  absl::StatusOr<std::vector<ConfChangeSingle>> changes = parse_conf_changes(command.input);
  if (!changes.ok()) return changes.status();
  change.changes = *std::move(changes);
  if (!v1) return node.propose_conf_change(change);
  if (change.changes.size() > 1 || change.transition != ConfChangeTransition::kAuto) {
    return failed("v1 conf change can only have one operation and no transition");
  }
  if (change.changes.empty()) throw ScriptError{"v1 conf change without an operation"};
  return node.propose_conf_change(
      ConfChange{.type = change.changes[0].type, .node_id = change.changes[0].node_id});
}

Result report_unreachable(World& world, const Command& command) {
  const std::vector<size_t> members = named_members(world, command);
  if (members.size() != 2) {
    return failed(
        "must specify exactly two node indexes: node on which to report, and reported node");
  }
  world.member(members[0]).node->report_unreachable(MemberId(members[1] + 1));
  return absl::OkStatus();
}

Result nothing(World&, const Command&) { return absl::OkStatus(); }

using CommandFunction = Result (*)(World&, const Command&);

const std::unordered_map<std::string, CommandFunction>& commands() {
  static const auto* const kCommands = new std::unordered_map<std::string, CommandFunction>{
      {"_breakpoint", nothing},
      {"add-nodes", add_nodes},
      {"campaign", campaign},
      {"compact", compact},
      {"deliver-msgs", deliver_msgs},
      {"forget-leader", forget_leader},
      {"log-level", log_level},
      {"process-append-thread", process_append_thread},
      {"process-apply-thread", process_apply_thread},
      {"process-ready", process_ready},
      {"propose", propose},
      {"propose-batch", propose_batch},
      {"propose-conf-change", propose_conf_change},
      {"raft-log", raft_log},
      {"raft-state", raft_state},
      {"read-index", read_index},
      {"report-snapshot", report_snapshot},
      {"report-unreachable", report_unreachable},
      {"send-snapshot", send_snapshot},
      {"set-randomized-election-timeout", set_randomized_election_timeout},
      {"stabilize", stabilize},
      {"status", status},
      {"tick-election", tick_election},
      {"tick-heartbeat", tick_heartbeat},
      {"transfer-leadership", transfer_leadership},
  };
  return *kCommands;
}

Result dispatch(World& world, const Command& command) {
  auto found = commands().find(command.name);
  if (found == commands().end()) return failed("unknown command");
  return found->second(world, command);
}

absl::StatusOr<std::string> run(World& world, const Command& command) {
  Result result;
  try {
    result = dispatch(world, command);
  } catch (const ScriptError& error) {
    return absl::InvalidArgumentError(error.text);
  }
  world.check_invariants();
  Transcript& transcript = world.transcript();
  // Level NONE hides everything but errors.
  if (!result.ok()) {
    if (transcript.quiet()) return std::string(message_of(result));
    transcript.print(message_of(result));
  }
  return transcript.empty() ? "ok" : transcript.take();
}

}  // namespace

Handler interaction_handler() {
  return
      [world = std::make_shared<World>()](const Command& command) { return run(*world, command); };
}

}  // namespace keelson::raft::scenarios
