// raft/sim/member.h
//
// Member: one RawNode with its disk, its append and apply threads and its application, which all
// work when the world says so. Reports everything it sees to the Oracle.

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "raft/raw_node.h"
#include "raft/sim/disk.h"
#include "raft/sim/log_view.h"
#include "raft/sim/network.h"
#include "raft/sim/options.h"
#include "raft/sim/oracle.h"

namespace keelson::raft::sim {

// What all members share.
struct Shared {
  const Options& options;
  Random& random;
  Oracle& oracle;
  Network& network;
  uint64_t now = 0;  // ticks since the start
  bool calm = false;
};

// A panic of raft is a fault of raft, since nobody lies here.
class StrictLogger final : public Logger {
 public:
  StrictLogger(MemberId id, bool trace) : id_(id), trace_(trace) {}
  bool enabled(LogLevel) const override { return trace_; }
  void write(LogLevel, std::string_view line) override;
  void panic(std::string_view line) override;

 private:
  MemberId id_;
  bool trace_;
};

class Member {
 public:
  Member(MemberId id, Shared& shared);

  // One of the first configuration; the others start empty.
  void begin_with(const ConfState& conf);
  void start();
  void crash();
  bool up() const { return node_ != nullptr; }
  MemberId id() const { return id_; }
  // Removed for good, so that it cannot disturb the others.
  void retire() { retired_ = true; }
  bool retired() const { return retired_; }

  // REQUIRES for all that follows: up().
  void tick();
  void step(Message message);
  absl::Status propose(std::span<Entry> entries);
  absl::Status propose(const ConfChangeV2& change, bool as_v1);
  void read(uint64_t read);
  void transfer(MemberId to);
  void campaign();
  void forget_leader();
  void report_snapshot(MemberId to, bool arrived);
  void report_unreachable(MemberId to);

  // The threads. Each does one piece of work; false if there is none.
  bool write();
  bool sync();
  bool apply();
  bool answer(bool of_append);
  // Takes what raft has to say, if anything.
  bool drain();
  // A snapshot of the application's state, and a shorter log.
  void compact();

  bool leads() const { return soft_.state == StateType::kLeader; }
  Term term() const { return hard_.term; }
  Index applied() const { return applied_; }
  const ConfState& conf() const { return conf_; }
  std::pair<Term, Index> log_end() const { return {log_.last_term(), log_.last()}; }

 private:
  void after_input();
  void take_ready();
  void follow_log(const Ready& ready);
  void restore(const Snapshot& snapshot);
  void check();
  void work_classic(Ready& ready);
  void dispatch(Message message);
  void send(Message message);
  void renew(Message* snapshot_message);
  bool takes_reads();
  void respond(std::vector<Message> responses, std::deque<Message>* own);
  void note_promise(const Message& message);
  void apply_entries(const Entries& entries);
  void apply_change(const Entry& entry);
  void answer_reads(const std::vector<ReadState>& reads);

  const MemberId id_;
  Shared& shared_;
  SeededRandom random_;
  StrictLogger logger_;
  Disk disk_;
  std::unique_ptr<RawNode> node_;  // null while down
  bool retired_ = false;

  // Gone in a crash.
  std::deque<Message> to_apply_;
  // Requests for votes in a term that is not durable. raft sends them at once; but others can elect
  // a candidate without its own vote, and if it then forgets that it led the term, it can win it a
  // second time and write other entries under the same index and term.
  std::deque<Message> vote_requests_;
  std::deque<Message> append_answers_;  // to ourselves, in order
  std::deque<Message> apply_answers_;
  LogView log_;
  SoftState soft_;
  HardState hard_;
  // The application: what it has applied, and the configuration in force there.
  Index applied_;
  ConfState conf_;
};

}  // namespace keelson::raft::sim
