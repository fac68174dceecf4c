// What entries say about the cluster itself: who its members are, which version it speaks.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "apply/applier.h"
#include "apply/decode.h"
#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "membership/member_json.h"
#include "membership/v2_request.h"
#include "proto/membership.pb.h"

namespace keelson::apply {
namespace {

// Whoever is not removed is described, as himself; and nobody cannot be added. That nobody is
// removed or updated any client may ask for: the table refuses it, as etcd does.
bool names_a_member(const raft::ConfChange& change) {
  const bool adds = change.type == raft::ConfChangeType::kAddNode ||
                    change.type == raft::ConfChangeType::kAddLearnerNode;
  if (adds && change.node_id == raft::kNobody) return false;
  if (change.type == raft::ConfChangeType::kRemoveNode) return true;
  absl::StatusOr<membership::ChangeContext> context = membership::decode_context(change.context);
  return context.ok() && context->member.id == change.node_id;
}

}  // namespace

absl::StatusOr<Reply> Applier::member_attributes(std::string_view body) {
  membershippb::ClusterMemberAttrSetRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  const membershippb::Attributes& attributes = request.member_attributes();
  return set_attributes(MemberId(request.member_id()), attributes.name(),
                        {attributes.client_urls().begin(), attributes.client_urls().end()});
}

// Of a member that was removed meanwhile it means nothing; one that never was cannot have said it.
absl::StatusOr<Reply> Applier::set_attributes(MemberId id, std::string_view name,
                                              std::vector<std::string> client_urls) {
  std::shared_ptr<const membership::View> view = members_.view();
  if (!view->find(id) && !view->is_removed(id)) {
    return absl::DataLossError(
        cat("it is about member ", absl::Hex(id.value), ", which this cluster never had"));
  }
  members_.set_attributes(id, name, std::move(client_urls), store_.batch());
  // It changes what is said of a member, not who is one.
  CHECK(members_.view()->members.size() == view->members.size());
  return Reply();
}

absl::StatusOr<Reply> Applier::cluster_version(std::string_view body) {
  membershippb::ClusterVersionSetRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  return set_version(request.ver());
}

absl::StatusOr<Reply> Applier::set_version(std::string_view version) {
  if (absl::Status s = members_.set_version(version, store_.batch()); !s.ok()) return s;
  CHECK(members_.view()->cluster_version == version);
  order_grants();
  return Reply();
}

absl::StatusOr<Reply> Applier::downgrade_info(std::string_view body) {
  membershippb::DowngradeInfoSetRequest request;
  if (absl::Status s = decode_logged(body, &request); !s.ok()) return s;
  members_.set_downgrade(request.enabled(), request.ver(), store_.batch());
  CHECK(members_.view()->downgrade.enabled == request.enabled());
  return Reply();
}

// Of what is not kept here the next to be applied might depend: the member ends.
absl::StatusOr<Reply> Applier::version_2(std::string_view body) {
  using membership::V2Request;
  const std::optional<V2Request> request = membership::read_v2_request(body);
  if (!request) return unreadable();
  switch (request->about) {
    case V2Request::About::kVersion:
      return set_version(request->value);
    case V2Request::About::kAttributes: {
      absl::StatusOr<membership::Member> said = membership::parse_member(request->value);
      if (!said.ok()) return said.status();
      return set_attributes(request->member, said->name, std::move(said->client_urls));
    }
    case V2Request::About::kElse:
      break;
  }
  return absl::UnimplementedError(
      cat("it is of the API of version 2: ", request->method, " ", request->path));
}

// A change that the table refuses still is an entry that every member passes: the core is told of
// one that changes nobody.
absl::StatusOr<ConfChanged> Applier::apply_conf_change(const raft::Entry& entry) {
  CHECK(raft::is_conf_change(entry.type));
  if (absl::Status s = check_follows(entry); !s.ok()) return s;
  constexpr std::string_view kWhat = "conf_change";
  // etcd changes one member at a time and knows no other form.
  if (entry.type != raft::EntryType::kConfChange) {
    return cannot_go_on(entry, kWhat, absl::UnimplementedError("it changes several members"));
  }
  absl::StatusOr<raft::ConfChange> change = raft::decode_conf_change(entry.data);
  if (!change.ok()) return cannot_go_on(entry, kWhat, unreadable());
  if (change->type > raft::ConfChangeType::kAddLearnerNode) {
    return cannot_go_on(entry, kWhat, absl::UnimplementedError("its kind is not known here"));
  }
  if (!names_a_member(*change)) return cannot_go_on(entry, kWhat, unreadable());
  membership::Change named{static_cast<membership::ChangeKind>(change->type), change->node_id,
                           change->context};
  absl::Status refused = members_.validate(named);
  if (refused.ok()) {
    absl::Status status = members_.apply(named, store_.batch());
    if (!status.ok()) return cannot_go_on(entry, kWhat, status);
    const bool gone = named.kind == membership::ChangeKind::kRemove;
    CHECK((members_.view()->find(named.member) == nullptr) == gone);
  } else {
    if (take_line(options_.lines, kUsualLine)) {
      log::warn("refused a membership change",
                {{"member", change->node_id.value}, {"error", message_of(refused)}});
    }
    change->node_id = raft::kNobody;
  }
  passed(entry);
  return ConfChanged{raft::as_v2(*change), std::move(refused)};
}

}  // namespace keelson::apply
