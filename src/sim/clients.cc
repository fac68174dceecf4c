#include "sim/clients.h"

#include <algorithm>

#include "base/errors.h"
#include "base/text.h"

namespace keelson::sim {

namespace pb = etcdserverpb;
using wire::InternalKind;

void Clients::act(int member) {
  switch (world_.random().below(12)) {
    case 0:
    case 1:
      return read(member);
    case 2:
      return remove(member);
    case 3:
      return write_both(member);
    case 4:
    case 5:
      return swap(member);
    case 6:
      return compact(member);
    case 7:
      return look_or_alarm(member);
    default:
      return put(member);
  }
}

// Who raised an alarm may never hear of it, and it stands: somebody else will find that out.
void Clients::look_or_alarm(int member) {
  switch (world_.random().below(16)) {
    case 0:
      return alarm(member);
    case 1:
    case 2:
      return disarm(member);
    default:
      return read_here(member);
  }
}

int Clients::under_way(int member) const {
  auto found = under_way_.find({member, world_.process(member)});
  return found == under_way_.end() ? 0 : found->second;
}

// What to call when the answer is there, and whether it said something.
std::function<void(bool told)> Clients::begin(int member) {
  const std::pair place(member, world_.process(member));
  ++under_way_[place];
  return [this, place](bool told) {
    if (--under_way_[place] == 0) under_way_.erase(place);
    if (told) ++acknowledged_;
  };
}

void Clients::learn(int64_t floor, int64_t revision) {
  if (revision == 0) return;
  if (revision < floor) {
    world_.verdict().violated(cat("an answer at revision ", revision, ", after ", floor));
  }
  known_ = std::max(known_, revision);
}

node::TestMember::Answer Clients::expect(int member, Check check) {
  return [this, floor = known_, over = begin(member),
          check = std::move(check)](const apply::Reply& reply) {
    over(reply.status.ok());
    if (!reply.status.ok()) return;
    learn(floor, reply.revision);
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
void Clients::write_both(int member) {
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

// A value for another one, if that is still there; else what is there is read.
void Clients::swap(int member) {
  const std::string key = some_key();
  const History::State newest = world_.history().state(world_.history().newest());
  auto held = newest.find(key);
  pb::TxnRequest request;
  pb::Compare* compare = request.add_compare();
  compare->set_key(key);
  compare->set_target(pb::Compare::MOD);
  compare->set_mod_revision(held == newest.end() ? 0 : held->second.revision);
  pb::PutRequest* put = request.add_success()->mutable_request_put();
  put->set_key(key);
  put->set_value(fresh_value());
  request.add_failure()->mutable_request_range()->set_key(key);
  world_.member(member).propose(
      InternalKind::kTxn, request.SerializeAsString(),
      expect(member, [this, request](const apply::Reply& reply) { check_swap(request, reply); }));
}

void Clients::check_swap(const pb::TxnRequest& request, const apply::Reply& reply) {
  pb::TxnResponse response;
  if (!response.ParseFromString(reply.body.flat())) {
    return world_.verdict().violated("the answer to a transaction does not parse");
  }
  const std::string& key = request.compare(0).key();
  const bool swapped = response.succeeded();
  const History::State before = world_.history().state(reply.revision - (swapped ? 1 : 0));
  auto held = before.find(key);
  const int64_t there = held == before.end() ? 0 : held->second.revision;
  if ((there == request.compare(0).mod_revision()) != swapped) {
    return world_.verdict().violated(cat("a transaction at ", reply.revision, " compared wrongly"));
  }
  if (swapped) return expect_at(reply.revision, {{key, request.success(0).request_put().value()}});
  const pb::RangeResponse& read = response.responses(0).response_range();
  const int64_t seen = read.kvs_size() == 0 ? 0 : read.kvs(0).mod_revision();
  if (seen != there) {
    world_.verdict().violated(cat("a transaction at ", reply.revision, " read what was not there"));
  }
}

void Clients::compact(int member) {
  if (known_ < 10) return;
  pb::CompactionRequest request;
  request.set_revision(known_ - static_cast<int64_t>(world_.random().below(8)));
  world_.history().compaction_asked(request.revision());
  world_.member(member).propose(
      InternalKind::kCompaction, request.SerializeAsString(),
      expect(member, [this, member, revision = request.revision()](const apply::Reply&) {
        compacted(member, revision);
      }));
}

// Some wait until what is superfluous has gone, and some have its space given back.
void Clients::compacted(int member, int64_t revision) {
  node::Node& node = world_.member(member).node();
  switch (world_.random().below(6)) {
    case 0:
    case 1:
      return node.when_compacted([this, member, revision](const absl::Status& status) {
        if (!status.ok() || revision <= gone_[member].revision) return;
        gone_[member] = {revision, world_.member(member).node().state().applied.load()};
      });
    case 2:
      return node.defragment([](const absl::Status&) {});
    default:
      return;
  }
}

// Stands for a moment, and refuses what adds.
void Clients::alarm(int member) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::ACTIVATE);
  request.set_memberid(world_.id(0).value);
  request.set_alarm(pb::NOSPACE);
  const uint64_t process = world_.process(member);
  world_.member(member).propose(InternalKind::kAlarm, request.SerializeAsString(),
                                expect(member, [this, member, process](const apply::Reply&) {
                                  if (world_.process(member) == process) disarm(member);
                                }));
}

void Clients::disarm(int member, std::function<void()> done) {
  pb::AlarmRequest request;
  request.set_action(pb::AlarmRequest::DEACTIVATE);
  request.set_memberid(world_.id(0).value);
  request.set_alarm(pb::NOSPACE);
  world_.member(member).propose(InternalKind::kAlarm, request.SerializeAsString(),
                                expect(member, [done = std::move(done)](const apply::Reply&) {
                                  if (done) done();
                                }));
}

void Clients::read(int member, std::function<void()> done) {
  world_.member(member).read_all([this, floor = known_, over = begin(member),
                                  done = std::move(done)](absl::StatusOr<mvcc::RangeResult> found) {
    over(found.ok());
    if (!found.ok()) return;
    learn(floor, found->revision);
    check_state(*found, found->revision);
    if (done) done();
  });
}

// Whatever this member has, it is what was there once.
void Clients::read_here(int member) {
  const int64_t newest = world_.member(member).node().store().revision();
  int64_t revision = 0;
  if (world_.random().below(2) == 0) {
    revision = std::max<int64_t>(1, newest - static_cast<int64_t>(world_.random().below(10)));
  }
  absl::StatusOr<mvcc::RangeResult> found = world_.member(member).read_here(revision);
  // A start may choose a store that was received, and go through the log once more from there.
  const Gone& gone = gone_[member];
  const bool is_there = world_.member(member).node().state().applied.load() >= gone.applied;
  if (found.ok() && revision > 0 && is_there && revision < gone.revision) {
    world_.verdict().violated(cat("revision ", revision, " is there again"));
  }
  if (found.ok()) return check_state(*found, revision > 0 ? revision : found->revision);
  if (found.status() == errors::Compacted() && revision < world_.history().highest_compaction()) {
    return;
  }
  // A disk that was made to fail has the member end of it.
  if (absl::IsDataLoss(found.status())) return;
  world_.verdict().violated(cat("revision ", revision, ": ", message_of(found.status())));
}

void Clients::check_state(const mvcc::RangeResult& found, int64_t revision) {
  History::State state;
  for (const Bytes& encoded : found.kvs) {
    mvcc::KeyValueView kv;
    if (!mvcc::decode_key_value(encoded.view(), &kv)) {
      return world_.verdict().violated("a KeyValue does not parse");
    }
    state[std::string(kv.key)] = {std::string(kv.value), kv.mod_revision};
    if (kv.lease == 0 && !proposed_.contains(std::string(kv.value))) {
      world_.verdict().violated("an invented value");
    }
  }
  if (state != world_.history().state(revision)) {
    world_.verdict().violated(cat("what was read at ", revision, " is not what is there"));
  }
}

void Clients::expect_at(int64_t revision, const std::vector<Change>& changes) {
  const std::vector<Change>* there = world_.history().at(revision);
  if (!there || *there != changes) {
    world_.verdict().violated(cat("revision ", revision, " is not what was acknowledged"));
  }
}

}  // namespace keelson::sim
