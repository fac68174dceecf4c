// membership/cluster.h
//
// Cluster is the replicated table of members: who they are, where they listen, who only learns.
// Entries of the log change it; the records are etcd's, in buckets `members`, `members_removed`,
// `cluster` and (the raft configuration that follows from it) `meta`/confState.
//
// Threads: the apply lane changes it; view() may be asked on any thread.
// Errors: base/errors.h (MemberNotFound, MemberExist, PeerURLExist, TooManyLearners, …); DataLoss
//   when a record does not parse; InvalidArgument with etcd's text for a bad --initial-cluster.
// Source: etcd v3.7.1, server/etcdserver/api/membership and server/storage/schema.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/line_budget.h"
#include "membership/version.h"

namespace keelson::membership {

struct Member {
  MemberId id;
  std::string name;  // empty until the member has started and published itself
  std::vector<std::string> peer_urls;
  std::vector<std::string> client_urls;
  bool is_learner = false;

  friend bool operator==(const Member&, const Member&) = default;
};

// A cluster to be: what --initial-cluster and --initial-cluster-token say. Ids are etcd's: SHA-1 of
// the sorted peer URLs and the token, and of the sorted member ids.
struct Bootstrap {
  ClusterId cluster;
  std::vector<Member> members;  // by id
};
// Each name's peer URLs, sorted. `initial_cluster` is "name=url,name=url,…"; as etcd reads it, an
// empty part counts for nothing and one without "=" names a member with an empty URL.
using PeerUrls = std::map<std::string, std::vector<std::string>>;
PeerUrls parse_initial_cluster(std::string_view initial_cluster);
// InvalidArgument for members that cannot be told apart.
absl::StatusOr<Bootstrap> bootstrap(std::string_view initial_cluster, std::string_view token);

// A member that is about to be added: etcd's id of the sorted peer URLs and the time, so that who
// is added again is another one. `unix_time`: its seconds count.
Member new_member(std::vector<std::string> peer_urls, bool is_learner, Duration unix_time);

// What a conf change's context says (etcd's ConfigChangeContext, JSON).
struct ChangeContext {
  Member member;
  bool is_promote = false;
};
absl::StatusOr<ChangeContext> decode_context(std::string_view json);
// As etcd writes them: of an addition, an update and a founding member; of a promotion.
Bytes encode_context(const Member& member);
Bytes encode_promotion(MemberId member);

// A change of one member. etcd's raftpb.ConfChangeType numbers.
enum class ChangeKind : uint8_t { kAdd = 0, kRemove = 1, kUpdate = 2, kAddLearner = 3 };
struct Change {
  ChangeKind kind = ChangeKind::kAdd;
  MemberId member;
  Bytes context;  // as the entry carries it; empty for a removal
};

// An immutable picture of the table.
struct View {
  ClusterId cluster;
  std::vector<Member> members;    // by id
  std::vector<MemberId> removed;  // for good: their ids must not come back; by id
  std::string cluster_version;    // "3.7.0"; empty until decided
  Downgrade downgrade;

  const Member* find(MemberId id) const;
  bool is_removed(MemberId id) const;
};

// etcd's line in the log about a member that a cluster has from now on.
void tell_added(ClusterId cluster, const Member& member);

// Whether a quorum of the voters that there would be has started, as far as the table knows (a
// member that has said its name has): --strict-reconfig-check. A second member may join one that
// serves alone. The log says why not, within `lines` (null: no bound).
bool may_add_voter(const View& view, LineBudget* lines = nullptr);
bool may_remove_voter(const View& view, MemberId id, LineBudget* lines = nullptr);
bool may_promote(const View& view, LineBudget* lines = nullptr);

class Cluster {
 public:
  explicit Cluster(ClusterId id, int64_t max_learners = 1);

  // Reads the records. Who has been removed is no member, whatever else they say: neither by these
  // records nor by those before. FailedPrecondition when the cluster's version is newer than ours.
  absl::Status restore(const backend::Reader& backend);

  // The newest picture. Any thread.
  std::shared_ptr<const View> view() const;

  // Whether the table allows the change now; etcd's errors otherwise.
  absl::Status validate(const Change& change) const;
  // Makes a valid change and writes the records and the new confState.
  absl::Status apply(const Change& change, backend::WriteBatch& batch);

  // A member says its name and client URLs. An unknown member is ignored with a warning; etcd's
  // rule for a removed one too.
  void set_attributes(MemberId id, std::string_view name, std::vector<std::string> client_urls,
                      backend::WriteBatch& batch);
  // DataLoss for what is no version; FailedPrecondition for one that is newer than ours, in which
  // this member has no part.
  absl::Status set_version(std::string_view version, backend::WriteBatch& batch);
  // A downgrade was allowed, to the version `target`, or called off.
  void set_downgrade(bool enabled, std::string_view target, backend::WriteBatch& batch);

 private:
  void publish(View next);
  void save_conf_state(const View& view, backend::WriteBatch& batch) const;

  const int64_t max_learners_;
  std::shared_ptr<const View> view_;  // replaced whole, with std::atomic_store
};

}  // namespace keelson::membership
