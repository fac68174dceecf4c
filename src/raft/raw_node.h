// raft/raw_node.h
//
// RawNode: one member of one raft group, as a pure state machine. Inputs go in (a message, a tick,
// a proposal); ready() hands out what the driver must persist, send and apply. Semantics, messages
// and log lines are etcd-io/raft's (v3.7).
//
// Threads: none inside and none allowed: one lane owns it.
// Time: tick(); timeouts are counted in ticks. Randomness: Config::random, nothing else.
// Memory: entry payloads are shared, never copied; log entries are bounded by the limits of Config.
//
// The driver's loop, classic storage (async_storage_writes off):
//   while has_ready(): rd = ready(); persist rd.hard_state, rd.entries, rd.snapshot (fsync if
//   rd.must_sync); send rd.messages; apply rd.committed_entries; advance().
// With async_storage_writes: rd.messages holds MsgStorageAppend (to kLocalAppendThread) and
// MsgStorageApply (to kLocalApplyThread). Send everything else at once, but a MsgVote only when its
// term is durable (docs/raft.md: else a crash can win one term twice); do each local message's
// work in order per target, then deliver its `responses` (step() those addressed to this member,
// send the others). Never call advance().

#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/random.h"
#include "raft/conf_change.h"
#include "raft/logger.h"
#include "raft/status.h"
#include "raft/storage.h"
#include "raft/types.h"

namespace keelson::raft {

enum class ReadOnlyOption : uint8_t {
  kSafe,        // confirm leadership with a quorum for each batch of reads
  kLeaseBased,  // trust the leader's lease; unsafe when clocks drift; needs check_quorum
};

struct Config {
  MemberId id{};
  // Ticks without a leader before campaigning (randomized up to twice that), and between the
  // leader's heartbeats. REQUIRES: 0 < heartbeat_tick < election_tick.
  int election_tick = 10;
  int heartbeat_tick = 1;

  Storage* storage = nullptr;  // outlives the node
  // The last index that the application has applied; set when restarting.
  Index applied{};
  bool async_storage_writes = false;

  // Encoded bytes of the entries in one MsgApp; 0: one entry per message.
  uint64_t max_size_per_msg = kNoLimit;
  // Encoded bytes handed out for application and not yet acknowledged; 0: max_size_per_msg.
  uint64_t max_committed_size_per_ready = 0;
  // Payload bytes in the leader's uncommitted tail before proposals are dropped; 0: no limit.
  uint64_t max_uncommitted_entries_size = 0;
  // Append messages in flight to one follower, and their payload bytes (0: no limit).
  int max_inflight_msgs = 256;
  uint64_t max_inflight_bytes = 0;

  bool check_quorum = false;
  bool pre_vote = false;
  ReadOnlyOption read_only_option = ReadOnlyOption::kSafe;
  bool disable_proposal_forwarding = false;
  bool disable_conf_change_validation = false;
  bool step_down_on_removal = false;

  Logger* logger = nullptr;  // null: silent. Outlives the node
  Random* random = nullptr;  // required; outlives the node
};

// InvalidArgument with etcd-raft's text if a value makes no sense; fills in defaults.
absl::Status validate(Config& config);

struct Ready {
  std::optional<SoftState> soft_state{};  // only when it changed
  HardState hard_state{};                 // empty() unless it changed
  std::vector<ReadState> read_states{};
  Entries entries{};            // to persist before `messages` are sent (classic storage)
  SnapshotPtr snapshot{};       // to persist; null if none
  Entries committed_entries{};  // to apply
  std::vector<Message> messages{};
  bool must_sync = false;

  void clear();  // keeps capacity
};

enum class SnapshotStatus { kFinish, kFailure };

struct Peer {
  MemberId id{};
  Bytes context{};
};

// The errors of step() and the proposals. Their texts are etcd-raft's.
absl::Status proposal_dropped_error();     // Unavailable: "raft proposal dropped"
absl::Status step_local_message_error();   // "raft: cannot step raft local message"
absl::Status step_peer_not_found_error();  // "raft: cannot step as peer not found"

class Core;

class RawNode {
 public:
  // Reads the stable state from config.storage. InvalidArgument as validate(); storage's errors as
  // they are.
  static absl::StatusOr<std::unique_ptr<RawNode>> create(Config config);
  ~RawNode();
  RawNode(const RawNode&) = delete;
  RawNode& operator=(const RawNode&) = delete;

  // Starts a new group: appends one ConfChange entry per peer at term 1, committed.
  // REQUIRES: storage is empty (FailedPrecondition otherwise) and there is a peer.
  absl::Status bootstrap(const std::vector<Peer>& peers);

  void tick();
  absl::Status campaign();

  // Appends (leader) or forwards (follower with a leader). proposal_dropped_error() when there is
  // no leader, a transfer is under way, or the uncommitted limit is reached; the proposer may
  // retry.
  absl::Status propose(Bytes data);
  // All or none, in order, as one proposal. Moves from the entries; only type and data are read.
  absl::Status propose(std::span<Entry> entries);
  absl::Status propose_conf_change(const ConfChange& change);
  absl::Status propose_conf_change(const ConfChangeV2& change);
  // To be called when such an entry is applied (with node_id 0 in place of a refused one, or not at
  // all). Returns the configuration now in force.
  ConfState apply_conf_change(const ConfChange& change);
  ConfState apply_conf_change(const ConfChangeV2& change);

  // A message from a peer, or a response of local storage work. Errors: step_local_message_error,
  // step_peer_not_found_error, proposal_dropped_error; all harmless.
  absl::Status step(Message message);

  bool has_ready() const;
  // The outstanding work; it counts as taken. The second form reuses the memory of *rd.
  Ready ready();
  void ready(Ready* rd);
  // Classic storage only: the work of the last Ready is done.
  void advance();

  // Answers in a later Ready's read_states with the same (unique) context, or never: retry.
  void read_index(Bytes request_ctx);
  void transfer_leader(MemberId transferee);
  // Makes a leader a follower of nobody in its term, as one does that has lost its quorum.
  void step_down();
  // Makes a follower forget its leader (to vote for another sooner).
  absl::Status forget_leader();
  void report_unreachable(MemberId id);
  void report_snapshot(MemberId id, SnapshotStatus status);

  Status status() const;
  BasicStatus basic_status() const;

  // Overrides the current randomized timeout until the next change of state (scenarios,
  // simulation).
  void set_randomized_election_timeout(int ticks);

  // CHECKs every invariant written at the fields. O(members + unstable entries).
  void check_invariants() const;

 private:
  explicit RawNode(std::unique_ptr<Core> core, bool async_storage_writes);

  void recycle(Ready* rd);
  void collect(Ready* rd);
  void accept(Ready* rd);

  std::unique_ptr<Core> core_;
  bool async_storage_writes_;
  // What the driver was last told.
  SoftState previous_soft_{};
  HardState previous_hard_{};
  // Memory of `responses` lists that the driver left in its Ready, to be used again. At most two.
  std::vector<std::vector<Message>> spare_;
  // Classic storage: responses to self that advance() steps.
  std::vector<Message> steps_on_advance_{};
};

}  // namespace keelson::raft
