// raft/scenarios/world.h
//
// The little world of an interaction scenario: members with memory storage, the messages in flight
// between them, and the transcript into which the members' log lines and the driver's doings go.

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/logger.h"
#include "raft/memory_storage.h"
#include "raft/raw_node.h"

namespace keelson::raft::scenarios {

// Collects output, and is every member's logger. At level NONE it swallows everything.
class Transcript final : public Logger {
 public:
  // Positions in "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE".
  static std::optional<int> level_of(std::string_view name);
  int level() const { return level_; }
  void set_level(int level) { level_ = level; }
  bool quiet() const { return level_ == kNone; }

  void print(std::string_view text) {
    if (!quiet()) text_ += text;
  }
  std::string take() { return std::exchange(text_, ""); }
  bool empty() const { return text_.empty(); }
  // Runs `body` and indents the lines it prints.
  void indented(const std::function<void()>& body);

  bool enabled(LogLevel level) const override { return level_ <= static_cast<int>(level); }
  void write(LogLevel level, std::string_view line) override;
  // A panic ends the scenario where it happens; it shows as a difference.
  void panic(std::string_view line) override;

 private:
  static constexpr int kNone = 5;

  std::string text_;
  int level_ = 0;
};

// Answers snapshot() with the state as of the last applied entry.
class SnapshottingStorage final : public MemoryStorage {
 public:
  absl::StatusOr<SnapshotPtr> snapshot() override { return history_.back(); }
  void remember(SnapshotPtr snapshot) { history_.push_back(std::move(snapshot)); }
  const Snapshot& newest() const { return *history_.back(); }

 private:
  std::vector<SnapshotPtr> history_;  // never empty once the member runs
};

struct Member {
  Config config;
  std::unique_ptr<SnapshottingStorage> storage;
  std::unique_ptr<Random> random;
  std::unique_ptr<RawNode> node;
  std::deque<Message> append_work;  // MsgStorageAppend
  std::deque<Message> apply_work;   // MsgStorageApply
};

struct Recipient {
  MemberId id;
  bool drop = false;
};

class World {
 public:
  Transcript& transcript() { return transcript_; }
  size_t size() const { return members_.size(); }
  // REQUIRES: i < size().
  Member& member(size_t i) { return members_[i]; }

  // Adds `count` members with the next ids, started from `snapshot` (null: empty).
  absl::Status add_members(size_t count, const Config& config, const Snapshot* snapshot);
  // The number of messages delivered or dropped.
  size_t deliver(std::optional<MessageType> type, const std::vector<Recipient>& recipients);
  void enqueue(Message message) { in_flight_.push_back(std::move(message)); }
  bool has_messages_for(MemberId id) const;

  absl::Status process_ready(size_t i);
  absl::Status process_append_thread(size_t i);
  absl::Status process_apply_thread(size_t i);
  // Does all of the above for the given members until nothing is left to do.
  absl::Status stabilize(const std::vector<size_t>& members);
  void print_log(size_t i);

  // Every member's invariants.
  void check_invariants() const;

 private:
  std::vector<Message> take_messages(MemberId to, std::optional<MessageType> type, bool drop);
  absl::Status persist(Member& member, const HardState& state, const Entries& entries,
                       const SnapshotPtr& snapshot);
  absl::Status apply(Member& member, const Entries& entries);
  absl::Status stabilize_work(const std::vector<size_t>& members, std::string_view name,
                              std::deque<Message> Member::*work,
                              absl::Status (World::*process)(size_t), bool* done);

  Transcript transcript_;
  std::deque<Member> members_;
  std::vector<Message> in_flight_;
};

}  // namespace keelson::raft::scenarios
