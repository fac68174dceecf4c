#include "sim/clients.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace keelson::sim {

namespace pb = etcdserverpb;
using wire::InternalKind;

Clients::Clients(World& world)
    : world_(world),
      under_way_(static_cast<size_t>(world.size())),
      lives_(static_cast<size_t>(world.size())) {}

void Clients::act(int member) {
  switch (world_.random().below(10)) {
    case 0:
    case 1:
      return read(member);
    case 2:
      return remove(member);
    case 3:
      return transact(member);
    case 4:
      return world_.random().below(2) == 0 ? grant(member) : revoke(member);
    case 5:
      return compact(member);
    default:
      return put(member);
  }
}

void Clients::forget(int member) {
  under_way_[member] = 0;
  ++lives_[member];
}

node::TestMember::Answer Clients::expect(int member,
                                         std::function<void(const apply::Reply&)> check) {
  ++under_way_[member];
  return [this, member, life = lives_[member], floor = known_,
          check = std::move(check)](apply::Reply reply) {
    if (life != lives_[member]) return;
    --under_way_[member];
    if (!reply.status.ok()) return;
    ++acknowledged_;
    if (reply.revision != 0 && reply.revision < floor) {
      world_.verdict().violated(cat("an answer at revision ", reply.revision, ", after ", floor));
    }
    known_ = std::max(known_, reply.revision);
    check(reply);
  };
}

std::string Clients::some_key() { return cat("k", world_.random().below(6)); }

std::string Clients::fresh_value() {
  std::string value = cat("v", ++last_value_, std::string(world_.random().below(200), '.'));
  proposed_.insert(value);
  return value;
}

void Clients::put(int member, std::function<void()> done) {
  Change change{some_key(), fresh_value()};
  pb::PutRequest request;
  request.set_key(change.key);
  request.set_value(change.value);
  world_.member(member).propose(
      InternalKind::kPut, request.SerializeAsString(),
      expect(member, [this, change, done = std::move(done)](const apply::Reply& reply) {
        expect_at(reply.revision, {change});
        if (done) done();
      }));
}

void Clients::remove(int member) {
  pb::DeleteRangeRequest request;
  request.set_key(some_key());
  world_.member(member).propose(
      InternalKind::kDeleteRange, request.SerializeAsString(),
      expect(member, [this, key = request.key()](const apply::Reply& reply) {
        if (!world_.history().state(reply.revision).contains(key)) return;
        world_.verdict().violated(cat(key, " is there, though it was deleted"));
      }));
}

// Two puts that are there together or not at all.
void Clients::transact(int member) {
  std::vector<Change> changes{{"a", fresh_value()}, {"b", fresh_value()}};
  pb::TxnRequest request;
  for (const Change& change : changes) {
    pb::PutRequest* put = request.add_success()->mutable_request_put();
    put->set_key(change.key);
    put->set_value(change.value);
  }
  world_.member(member).propose(InternalKind::kTxn, request.SerializeAsString(),
                                expect(member, [this, changes](const apply::Reply& reply) {
                                  expect_at(reply.revision, changes);
                                }));
}

void Clients::compact(int member) {
  if (known_ < 10) return;
  pb::CompactionRequest request;
  request.set_revision(known_ - static_cast<int64_t>(world_.random().below(8)));
  world_.member(member).propose(InternalKind::kCompaction, request.SerializeAsString(),
                                expect(member, [](const apply::Reply&) {}));
}

void Clients::grant(int member) {
  pb::LeaseGrantRequest request;
  request.set_id(++last_lease_);
  request.set_ttl(1'000'000);
  world_.member(member).propose(
      InternalKind::kLeaseGrant, request.SerializeAsString(),
      expect(member, [this, id = last_lease_](const apply::Reply&) { granted_.insert(id); }));
}

void Clients::revoke(int member) {
  if (granted_.empty()) return;
  pb::LeaseRevokeRequest request;
  request.set_id(*granted_.begin());
  granted_.erase(granted_.begin());
  world_.member(member).propose(InternalKind::kLeaseRevoke, request.SerializeAsString(),
                                expect(member, [](const apply::Reply&) {}));
}

void Clients::read(int member, std::function<void()> done) {
  ++under_way_[member];
  world_.member(member).read_all([this, member, life = lives_[member], floor = known_,
                                  done = std::move(done)](absl::StatusOr<mvcc::RangeResult> found) {
    if (life != lives_[member]) return;
    --under_way_[member];
    if (!found.ok()) return;
    if (found->revision < floor) {
      world_.verdict().violated(cat("a read at revision ", found->revision, ", after ", floor));
    }
    known_ = std::max(known_, found->revision);
    check_read(*found);
    if (done) done();
  });
}

void Clients::check_read(const mvcc::RangeResult& found) {
  History::State state;
  for (const Bytes& encoded : found.kvs) {
    mvcc::KeyValueView kv;
    if (!mvcc::decode_key_value(encoded.view(), &kv)) {
      return world_.verdict().violated("a KeyValue does not parse");
    }
    state[std::string(kv.key)] = {std::string(kv.value), kv.mod_revision};
    if (!proposed_.contains(std::string(kv.value))) world_.verdict().violated("an invented value");
  }
  if (state != world_.history().state(found.revision)) {
    world_.verdict().violated(cat("what was read at ", found.revision, " is not what is there"));
  }
}

void Clients::expect_at(int64_t revision, const std::vector<Change>& changes) {
  const std::vector<Change>* there = world_.history().at(revision);
  if (!there || *there != changes) {
    world_.verdict().violated(cat("revision ", revision, " is not what was acknowledged"));
  }
}

}  // namespace keelson::sim
