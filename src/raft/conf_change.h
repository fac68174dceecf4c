// raft/conf_change.h
//
// Proposals that change the configuration, V1 (one member) and V2 (several, joint consensus), and
// their encoding as the payload of an entry: raftpb.ConfChange and raftpb.ConfChangeV2 byte for
// byte as etcd writes them, since raft itself must read them back and count their size. By hand
// because raft/ knows no protobuf library.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "raft/types.h"

namespace keelson::raft {

// etcd's numbers (raftpb.ConfChangeType); outside values survive decoding and are refused when
// applied.
enum class ConfChangeType : uint32_t {
  kAddNode = 0,
  kRemoveNode = 1,
  kUpdateNode = 2,
  kAddLearnerNode = 3,
};

enum class ConfChangeTransition : uint32_t {
  kAuto = 0,           // simple if one change, else as kJointImplicit
  kJointImplicit = 1,  // joint, left automatically
  kJointExplicit = 2,  // joint until the application proposes an empty change
};

struct ConfChangeSingle {
  ConfChangeType type = ConfChangeType::kAddNode;
  MemberId node_id{};  // 0: the application refused the change; nothing happens

  friend bool operator==(const ConfChangeSingle&, const ConfChangeSingle&) = default;
};

struct ConfChange {
  uint64_t id = 0;  // the application's, to find its waiter again
  ConfChangeType type = ConfChangeType::kAddNode;
  MemberId node_id{};
  Bytes context{};

  friend bool operator==(const ConfChange&, const ConfChange&) = default;
};

struct ConfChangeV2 {
  ConfChangeTransition transition = ConfChangeTransition::kAuto;
  std::vector<ConfChangeSingle> changes{};
  Bytes context{};

  // True if this change leaves a joint configuration: it is empty but for the context.
  bool leaves_joint() const;
  // Whether this change enters a joint configuration; if so, whether it is left automatically.
  struct Joint {
    bool auto_leave;
  };
  std::optional<Joint> enters_joint() const;

  friend bool operator==(const ConfChangeV2&, const ConfChangeV2&) = default;
};

ConfChangeV2 as_v2(const ConfChange& change);

Bytes encode(const ConfChange& change);
Bytes encode(const ConfChangeV2& change);
// InvalidArgument when the bytes are not such a message. Empty bytes are the zero change.
absl::StatusOr<ConfChange> decode_conf_change(std::string_view bytes);
absl::StatusOr<ConfChangeV2> decode_conf_change_v2(std::string_view bytes);
// The change that an entry of either conf-change type carries. REQUIRES:
// is_conf_change(entry.type).
absl::StatusOr<ConfChangeV2> conf_change_of(const Entry& entry);

// Space-separated operations: v1 voter, l1 learner, r1 remove, u1 update.
absl::StatusOr<std::vector<ConfChangeSingle>> parse_conf_changes(std::string_view text);
std::string to_string(const std::vector<ConfChangeSingle>& changes);
std::string_view name_of(ConfChangeType type);
std::string_view name_of(ConfChangeTransition transition);

}  // namespace keelson::raft
