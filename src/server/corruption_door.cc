#include "server/corruption_door.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "proto/rpc.pb.h"

namespace keelson::server {

// Two numbers that are not of one moment: a term in which it does not lead is of no use to it.
std::optional<Term> CorruptionDoor::leads() const {
  node::Node& node = context_.node();
  const Term term(node.state().term.load(std::memory_order_acquire));
  if (!node.is_leader()) return std::nullopt;
  return term;
}

void CorruptionDoor::hash(Done<absl::StatusOr<mvcc::KvHash>> done) {
  hashes_.hash(
      0, [&loop = lane().loop, done = std::move(done)](absl::StatusOr<mvcc::KvHash> hash) mutable {
        loop.post(
            [done = std::move(done), hash = std::move(hash)]() mutable { done(std::move(hash)); });
      });
}

void CorruptionDoor::ask_others(int64_t revision, Done<std::vector<PeerHash>> done) {
  peering_.ask_hashes(revision, [&loop = lane().loop,
                                 done = std::move(done)](std::vector<PeerHash> hashes) mutable {
    loop.post([done = std::move(done), hashes = std::move(hashes)]() mutable {
      done(std::move(hashes));
    });
  });
}

void CorruptionDoor::confirm(Done<absl::Status> done) { lane().gateway->read({}, std::move(done)); }

// One that stands is not raised again, at every look.
void CorruptionDoor::raise_alarm(Term term, MemberId member) {
  const apply::Alarm named{etcdserverpb::CORRUPT, member};
  const auto standing = context_.node().alarms().all();
  if (std::find(standing->begin(), standing->end(), named) != standing->end()) return;
  etcdserverpb::AlarmRequest alarm;
  alarm.set_memberid(member.value);
  alarm.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  alarm.set_alarm(etcdserverpb::CORRUPT);
  const uint64_t id = lane().ids.next();
  lane().gateway->propose_in(
      term, id,
      wire::wrap_internal(id, {}, 0, wire::InternalKind::kAlarm, alarm.SerializeAsString()),
      node::Gateway::Space::kSpared, [member](apply::Reply reply) {
        if (reply.status.ok()) return;
        log::warn("could not raise the CORRUPT alarm",
                  {{"member-id", absl::StrCat(absl::Hex(member.value))},
                   {"error", message_of(reply.status)}});
      });
}

}  // namespace keelson::server
