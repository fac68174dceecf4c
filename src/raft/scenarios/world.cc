#include "raft/scenarios/world.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "base/text.h"
#include "raft/describe.h"

namespace keelson::raft::scenarios {
namespace {

constexpr std::array<std::string_view, 6> kLevels = {"DEBUG", "INFO",  "WARN",
                                                     "ERROR", "FATAL", "NONE"};

// Whatever a member sends itself, or exchanges with its storage, cannot get lost.
bool is_local(const Message& message) {
  return message.from == message.to || is_local_target(message.from) || is_local_target(message.to);
}

}  // namespace

std::optional<int> Transcript::level_of(std::string_view name) {
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (absl::EqualsIgnoreCase(to_absl(kLevels[i]), to_absl(name))) return static_cast<int>(i);
  }
  return std::nullopt;
}

void Transcript::indented(const std::function<void()>& body) {
  std::string outer = std::exchange(text_, "");
  body();
  std::string_view inner = text_;
  while (!inner.empty()) {
    const size_t end = inner.find('\n');
    outer += cat("  ", inner.substr(0, end), "\n");
    inner.remove_prefix(end == std::string_view::npos ? inner.size() : end + 1);
  }
  text_ = std::move(outer);
}

void Transcript::write(LogLevel level, std::string_view line) {
  print(cat(kLevels[static_cast<size_t>(level)], " ", line, "\n"));
}

void Transcript::panic(std::string_view line) { print(cat("FATAL ", line, "\n")); }

absl::Status World::add_members(size_t count, const Config& config, const Snapshot* snapshot) {
  auto initial = std::make_shared<Snapshot>(snapshot ? *snapshot : Snapshot());
  const bool bootstrap = *initial != Snapshot();
  if (bootstrap) {
    if (initial->metadata.index <= Index(1)) {
      return absl::InvalidArgumentError("index must be specified as > 1 due to bootstrap");
    }
    initial->metadata.term = Term(1);
  }
  for (size_t i = 0; i < count; ++i) {
    Member member{.config = config,
                  .storage = std::make_unique<SnapshottingStorage>(),
                  .random = std::make_unique<SeededRandom>(members_.size()),
                  .node = nullptr,
                  .append_work = {},
                  .apply_work = {}};
    if (bootstrap) {
      absl::Status applied = member.storage->apply_snapshot(initial);
      if (!applied.ok()) return applied;
    }
    member.storage->remember(initial);
    member.config.id = MemberId(members_.size() + 1);
    member.config.storage = member.storage.get();
    member.config.random = member.random.get();
    member.config.logger = &transcript_;
    absl::StatusOr<std::unique_ptr<RawNode>> node = RawNode::create(member.config);
    if (!node.ok()) return node.status();
    member.node = *std::move(node);
    members_.push_back(std::move(member));
  }
  return absl::OkStatus();
}

std::vector<Message> World::take_messages(MemberId to, std::optional<MessageType> type, bool drop) {
  std::vector<Message> taken;
  std::vector<Message> rest;
  for (Message& message : in_flight_) {
    const bool wanted =
        message.to == to && !(drop && is_local(message)) && (!type || message.type == *type);
    (wanted ? taken : rest).push_back(std::move(message));
  }
  in_flight_ = std::move(rest);
  return taken;
}

bool World::has_messages_for(MemberId id) const {
  return std::any_of(in_flight_.begin(), in_flight_.end(),
                     [id](const Message& message) { return message.to == id; });
}

size_t World::deliver(std::optional<MessageType> type, const std::vector<Recipient>& recipients) {
  size_t count = 0;
  for (const Recipient& recipient : recipients) {
    for (Message& message : take_messages(recipient.id, type, recipient.drop)) {
      ++count;
      transcript_.print(cat(recipient.drop ? "dropped: " : "", describe(message), "\n"));
      if (recipient.drop) continue;
      if (recipient.id.value == 0 || recipient.id.value > members_.size()) {
        transcript_.print(cat("no member ", recipient.id.value, "\n"));
        continue;
      }
      absl::Status status = members_[recipient.id.value - 1].node->step(std::move(message));
      if (!status.ok()) transcript_.print(cat(message_of(status), "\n"));
      check_invariants();
    }
  }
  return count;
}

absl::Status World::persist(Member& member, const HardState& state, const Entries& entries,
                            const SnapshotPtr& snapshot) {
  if (!state.empty()) member.storage->set_hard_state(state);
  if (!is_empty(snapshot)) {
    if (!entries.empty()) {
      return absl::FailedPreconditionError("can't apply snapshot and entries at the same time");
    }
    return member.storage->apply_snapshot(snapshot);
  }
  member.storage->append(entries);
  return absl::OkStatus();
}

// The state machine appends every entry's data to one string.
absl::Status World::apply(Member& member, const Entries& entries) {
  for (const Entry& entry : entries) {
    const Snapshot& before = member.storage->newest();
    ConfState conf_state = before.metadata.conf_state;
    Bytes update = entry.data;
    if (is_conf_change(entry.type)) {
      absl::StatusOr<ConfChangeV2> change = conf_change_of(entry);
      if (!change.ok()) return change.status();
      conf_state = member.node->apply_conf_change(*change);
      update = change->context;
    }
    auto after = std::make_shared<Snapshot>();
    after->data = Bytes::copy(cat(before.data.view(), update.view()));
    after->metadata = {std::move(conf_state), entry.index, entry.term};
    member.storage->remember(std::move(after));
  }
  return absl::OkStatus();
}

absl::Status World::process_ready(size_t i) {
  Member& member = members_[i];
  Ready ready = member.node->ready();
  transcript_.print(describe(ready));
  const bool async = member.config.async_storage_writes;
  if (!async) {
    absl::Status status = persist(member, ready.hard_state, ready.entries, ready.snapshot);
    if (status.ok()) status = apply(member, ready.committed_entries);
    if (!status.ok()) return status;
  }
  for (Message& message : ready.messages) {
    if (message.to == kLocalAppendThread) {
      member.append_work.push_back(std::move(message));
    } else if (message.to == kLocalApplyThread) {
      member.apply_work.push_back(std::move(message));
    } else {
      in_flight_.push_back(std::move(message));
    }
  }
  if (!async) member.node->advance();
  check_invariants();
  return absl::OkStatus();
}

absl::Status World::process_append_thread(size_t i) {
  Member& member = members_[i];
  if (member.append_work.empty()) {
    transcript_.print("no append work to perform");
    return absl::OkStatus();
  }
  Message work = std::move(member.append_work.front());
  member.append_work.pop_front();
  std::vector<Message> responses = std::exchange(work.responses, {});
  transcript_.print(cat("Processing:\n", describe(work), "\n"));
  absl::Status status = persist(member, work.hard_state(), work.entries, work.snapshot);
  if (!status.ok()) return status;
  transcript_.print("Responses:\n");
  for (Message& response : responses) {
    transcript_.print(describe(response) + "\n");
    in_flight_.push_back(std::move(response));
  }
  return absl::OkStatus();
}

absl::Status World::process_apply_thread(size_t i) {
  Member& member = members_[i];
  if (member.apply_work.empty()) {
    transcript_.print("no apply work to perform");
    return absl::OkStatus();
  }
  Message work = std::move(member.apply_work.front());
  member.apply_work.pop_front();
  std::vector<Message> responses = std::exchange(work.responses, {});
  transcript_.print(cat("Processing:\n", describe(work), "\n"));
  absl::Status status = apply(member, work.entries);
  if (!status.ok()) return status;
  transcript_.print("Responses:\n");
  for (Message& response : responses) {
    transcript_.print(describe(response) + "\n");
    in_flight_.push_back(std::move(response));
  }
  check_invariants();
  return absl::OkStatus();
}

absl::Status World::stabilize_work(const std::vector<size_t>& members, std::string_view name,
                                   std::deque<Message> Member::*work,
                                   absl::Status (World::*process)(size_t), bool* done) {
  for (size_t i : members) {
    if ((members_[i].*work).empty()) continue;
    transcript_.print(cat("> ", i + 1, " processing ", name, " thread\n"));
    while (!(members_[i].*work).empty()) {
      absl::Status status;
      transcript_.indented([&] { status = (this->*process)(i); });
      if (!status.ok()) return status;
    }
    *done = false;
  }
  return absl::OkStatus();
}

absl::Status World::stabilize(const std::vector<size_t>& members) {
  for (bool done = false; !done;) {
    done = true;
    for (size_t i : members) {
      if (!members_[i].node->has_ready()) continue;
      transcript_.print(cat("> ", i + 1, " handling Ready\n"));
      absl::Status status;
      transcript_.indented([&] { status = process_ready(i); });
      if (!status.ok()) return status;
      done = false;
    }
    for (size_t i : members) {
      const MemberId id = members_[i].config.id;
      if (!has_messages_for(id)) continue;
      transcript_.print(cat("> ", id.value, " receiving messages\n"));
      transcript_.indented([&] { deliver(std::nullopt, {{.id = id}}); });
      done = false;
    }
    absl::Status status = stabilize_work(members, "append", &Member::append_work,
                                         &World::process_append_thread, &done);
    if (!status.ok()) return status;
    status =
        stabilize_work(members, "apply", &Member::apply_work, &World::process_apply_thread, &done);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void World::print_log(size_t i) {
  MemoryStorage& storage = *members_[i].storage;
  const Index first = *storage.first_index();
  const Index last = *storage.last_index();
  if (last < first) {
    transcript_.print(cat("log is empty: first index=", first.value, ", last index=", last.value));
    return;
  }
  transcript_.print(describe(std::span<const Entry>(*storage.entries(first, last + 1, kNoLimit))));
}

void World::check_invariants() const {
  for (const Member& member : members_) member.node->check_invariants();
}

}  // namespace keelson::raft::scenarios
