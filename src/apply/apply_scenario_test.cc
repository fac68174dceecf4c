// Runs the scripts in testdata/: requests as the log brings them, answers as the state machine
// gives them. KEELSON_REWRITE=1 writes what came instead of comparing.
//
//   put k=… v=… [lease=…] [prev] [ignore_value] [ignore_lease]      del k=… [end=…] [prev]
//   get k=… [end=…] [rev=…] [limit=…]      compact rev=…      restart      quota bytes=…
//   grant id=… ttl=…      revoke id=…      leases      alarm on|off|list [type=corrupt]
//   version to=…          the cluster's, as its leader sets it
//   unreadable after=…    from that many reads on the store's values cannot be read
//   raw [number=…] bytes=…      an entry: a request under its field number, or nothing but bytes
//   txn [unwaited]      if k=… [end=…] [is=equal|not|greater|less] value|mod|create|version|lease=…
//            then|else put|del|get|txn …      end
// and those of apply/auth_commands.h.
// A transaction, and each one nested in it, goes to its `end`.

#include <gtest/gtest.h>

#include <filesystem>

#include "apply/applier.h"
#include "apply/auth_commands.h"
#include "apply/txn.h"
#include "backend/memory_backend.h"
#include "base/scenario.h"
#include "proto/membership.pb.h"
#include "proto/rpc.pb.h"

namespace keelson::apply {
namespace {

namespace pb = etcdserverpb;
using scenario::Command;
using wire::InternalKind;

class StillClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::seconds(100)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

template <typename Message>
Message parsed(const Parts& parts) {
  std::string bytes;
  for (const Bytes& part : parts.parts()) bytes += part.view();
  Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message;
}

std::string show(const mvccpb::KeyValue& kv) {
  std::string out = cat(kv.key(), "=", kv.value(), " create=", kv.create_revision(),
                        " mod=", kv.mod_revision(), " version=", kv.version());
  if (kv.lease() != 0) out += cat(" lease=", kv.lease());
  return out;
}

std::string header(int64_t revision) { return cat(" rev=", revision, "\n"); }

std::string show(const pb::RangeResponse& r, int64_t revision, const std::string& pad) {
  std::string out = cat("range count=", r.count(), r.more() ? " more" : "", header(revision));
  for (const auto& kv : r.kvs()) out += cat(pad, "  ", show(kv), "\n");
  return out;
}

std::string show(const pb::PutResponse& r, int64_t revision, const std::string& pad) {
  std::string out = cat("put", header(revision));
  if (r.has_prev_kv()) out += cat(pad, "  previous ", show(r.prev_kv()), "\n");
  return out;
}

std::string show(const pb::DeleteRangeResponse& r, int64_t revision, const std::string& pad) {
  std::string out = cat("deleted ", r.deleted(), header(revision));
  for (const auto& kv : r.prev_kvs()) out += cat(pad, "  previous ", show(kv), "\n");
  return out;
}

std::string show(const pb::TxnResponse& r, int64_t revision, const std::string& pad) {
  std::string out = cat(r.succeeded() ? "succeeded" : "failed", header(revision));
  std::string in = pad + "  ";
  for (const pb::ResponseOp& op : r.responses()) {
    out += in;
    if (op.has_response_range()) {
      out += show(op.response_range(), op.response_range().header().revision(), in);
    } else if (op.has_response_put()) {
      out += show(op.response_put(), op.response_put().header().revision(), in);
    } else if (op.has_response_delete_range()) {
      out += show(op.response_delete_range(), op.response_delete_range().header().revision(), in);
    } else if (op.has_response_txn()) {
      out += show(op.response_txn(), op.response_txn().header().revision(), in);
    } else {
      out += "nothing\n";
    }
  }
  return out;
}

std::string error(const absl::Status& status) {
  return cat("error ", absl::StatusCodeToString(status.code()), ": ", message_of(status), "\n");
}

std::string ended(const absl::Status& status) { return cat("the member ends: ", error(status)); }

template <typename Response>
std::string show(const absl::StatusOr<Reply>& reply) {
  if (!reply.ok()) return ended(reply.status());
  if (!reply->status.ok()) return error(reply->status);
  return show(parsed<Response>(reply->body), reply->revision, "");
}

pb::PutRequest put_of(const Command& c) {
  pb::PutRequest request;
  request.set_key(c.text("k"));
  request.set_value(c.text("v"));
  request.set_lease(c.number("lease"));
  request.set_prev_kv(c.has("prev"));
  request.set_ignore_value(c.has("ignore_value"));
  request.set_ignore_lease(c.has("ignore_lease"));
  return request;
}

pb::DeleteRangeRequest delete_of(const Command& c) {
  pb::DeleteRangeRequest request;
  request.set_key(c.text("k"));
  request.set_range_end(c.text("end"));
  request.set_prev_kv(c.has("prev"));
  return request;
}

pb::RangeRequest range_of(const Command& c) {
  pb::RangeRequest request;
  request.set_key(c.text("k"));
  request.set_range_end(c.text("end"));
  request.set_revision(c.number("rev"));
  request.set_limit(c.number("limit"));
  request.set_count_only(c.has("count_only"));
  request.set_keys_only(c.has("keys_only"));
  request.set_min_mod_revision(c.number("min_mod"));
  return request;
}

pb::Compare compare_of(const Command& c) {
  pb::Compare compare;
  compare.set_key(c.text("k"));
  compare.set_range_end(c.text("end"));
  std::string is = c.text("is", "equal");
  compare.set_result(is == "greater" ? pb::Compare::GREATER
                     : is == "less"  ? pb::Compare::LESS
                     : is == "not"   ? pb::Compare::NOT_EQUAL
                                     : pb::Compare::EQUAL);
  if (c.has("value")) {
    compare.set_target(pb::Compare::VALUE);
    compare.set_value(c.text("value"));
  } else if (c.has("mod")) {
    compare.set_target(pb::Compare::MOD);
    compare.set_mod_revision(c.number("mod"));
  } else if (c.has("create")) {
    compare.set_target(pb::Compare::CREATE);
    compare.set_create_revision(c.number("create"));
  } else if (c.has("version")) {
    compare.set_target(pb::Compare::VERSION);
    compare.set_version(c.number("version"));
  } else if (c.has("lease")) {
    compare.set_target(pb::Compare::LEASE);
    compare.set_lease(c.number("lease"));
  }
  return compare;
}

class World {
 public:
  World() { open(); }

  std::string run(const Command& c) {
    if (!txns_.empty()) return in_txn(c);
    if (c.name == "as") return user_ = c.text("u"), asks_at_ = c.number("rev", -1), "";
    if (AuthCommand command = auth_command_of(c); command.kind != InternalKind::kNone) {
      return auth(std::move(command));
    }
    if (c.name == "put") return show<pb::PutResponse>(apply(InternalKind::kPut, put_of(c)));
    if (c.name == "del") {
      return show<pb::DeleteRangeResponse>(apply(InternalKind::kDeleteRange, delete_of(c)));
    }
    if (c.name == "get") return get(c);
    if (c.name == "txn") {
      txns_.push_back(&txn_);
      txn_.Clear();
      wanted_ = !c.has("unwaited");
      return "";
    }
    if (c.name == "compact") {
      pb::CompactionRequest request;
      request.set_revision(c.number("rev"));
      return status(apply(InternalKind::kCompaction, request));
    }
    if (c.name == "grant") {
      pb::LeaseGrantRequest request;
      request.set_id(c.number("id"));
      request.set_ttl(c.number("ttl"));
      return status(apply(InternalKind::kLeaseGrant, request));
    }
    if (c.name == "revoke") {
      pb::LeaseRevokeRequest request;
      request.set_id(c.number("id"));
      return status(apply(InternalKind::kLeaseRevoke, request));
    }
    if (c.name == "leases") return leases();
    if (c.name == "alarm") return alarm(c);
    if (c.name == "raw") return raw(c);
    if (c.name == "version") {
      membershippb::ClusterVersionSetRequest request;
      request.set_ver(c.text("to"));
      return status(apply(InternalKind::kClusterVersionSet, request));
    }
    if (c.name == "unreadable") {
      backend_.fail_reads(absl::DataLossError("a damaged block"),
                          static_cast<int>(c.number("after")));
      return "";
    }
    if (c.name == "quota") return quota_ = static_cast<uint64_t>(c.number("bytes")), reopen();
    if (c.name == "restart") return reopen();
    return "unknown command\n";
  }

 private:
  void open() {
    applier_.reset();
    slot_.reset();
    leases_ = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{});
    members_ = std::make_unique<membership::Cluster>(ClusterId(1));
    ASSERT_TRUE(members_->restore(backend_).ok());
    store_ = *mvcc::Store::open(&backend_, {.value_memory = 0});
    slot_ = store_->register_reader();
    applier_ = *Applier::create(&backend_, store_.get(), leases_.get(), members_.get(), &clock_,
                                {.quota_bytes = quota_}, [](mvcc::EventBatchPtr) {});
  }

  std::string reopen() {
    backend_.flush([](absl::Status) {});
    open();
    return cat("rev=", store_->revision(), "\n");
  }

  absl::StatusOr<Reply> apply(InternalKind kind, const google::protobuf::MessageLite& request) {
    return apply(wire::wrap_internal(1, user_, auth_revision(), kind, request.SerializeAsString()));
  }

  uint64_t auth_revision() const {
    if (user_.empty()) return 0;
    return asks_at_ >= 0 ? static_cast<uint64_t>(asks_at_) : applier_->auth().rules().revision();
  }

  std::string auth(AuthCommand command) {
    absl::StatusOr<Reply> reply =
        apply(wire::wrap_internal(1, user_, auth_revision(), command.kind, command.body));
    if (!reply.ok()) return ended(reply.status());
    if (!reply->status.ok()) return error(reply->status);
    std::string bytes;
    for (const Bytes& part : reply->body.parts()) bytes += part.view();
    EXPECT_TRUE(command.response->ParseFromString(bytes));
    return cat("ok ", command.response->ShortDebugString(), "\n");
  }

  // A member that cannot go on shows nothing of the entry; it is started again without it.
  absl::StatusOr<Reply> apply(Bytes entry) {
    Index index = Index(backend_.consistent_index().value + 1);
    absl::StatusOr<Reply> reply = applier_->apply(
        {.term = Term(1), .index = index, .data = std::move(entry)}, std::exchange(wanted_, true));
    EXPECT_EQ(applier_->publish(index, Term(1)).ok(), reply.ok());
    if (reply.ok()) {
      while (applier_->has_background_work()) EXPECT_TRUE(applier_->background_step().ok());
    } else {
      backend_.fail_reads(absl::OkStatus());
      open();
    }
    return reply;
  }

  std::string raw(const Command& c) {
    Bytes bytes = Bytes::copy(c.text("bytes"));
    auto kind = static_cast<InternalKind>(c.number("number"));
    return status(apply(c.has("number") ? wire::wrap_internal(1, {}, 0, kind, bytes) : bytes));
  }

  std::string status(const absl::StatusOr<Reply>& reply) {
    if (!reply.ok()) return ended(reply.status());
    return reply->status.ok() ? cat("ok rev=", store_->revision(), "\n") : error(reply->status);
  }

  std::string get(const Command& c) {
    const pb::RangeRequest request = range_of(c);
    const auth::Identity who{user_, auth_revision()};
    const std::shared_ptr<const auth::Rules> rules = applier_->auth().newest();
    absl::Status may = Permits(*rules, who, nullptr).range(request.key(), request.range_end());
    if (!may.ok()) return error(may);
    absl::StatusOr<Reply> reply = run_range(store_->read(*slot_), request);
    return reply.ok() ? show<pb::RangeResponse>(reply) : error(reply.status());
  }

  std::string leases() {
    std::string out;
    for (LeaseId id : leases_->list().by_expiry()) {
      out += cat(id.value, ":");
      for (const std::string& key : leases_->list_keys(id).sorted()) out += cat(" ", key);
      out += "\n";
    }
    return out.empty() ? "none\n" : out;
  }

  std::string alarm(const Command& c) {
    std::string action = c.word(0);
    pb::AlarmRequest request;
    request.set_memberid(5);
    request.set_alarm(c.text("type") == "corrupt" ? pb::CORRUPT : pb::NOSPACE);
    request.set_action(action == "on"    ? pb::AlarmRequest::ACTIVATE
                       : action == "off" ? pb::AlarmRequest::DEACTIVATE
                                         : pb::AlarmRequest::GET);
    absl::StatusOr<Reply> reply = apply(InternalKind::kAlarm, request);
    std::string out;
    pb::AlarmResponse response = parsed<pb::AlarmResponse>(reply->body);
    for (const pb::AlarmMember& member : response.alarms()) {
      out += cat(pb::AlarmType_Name(member.alarm()), " member=", member.memberid(), "\n");
    }
    return out.empty() ? "none\n" : out;
  }

  std::string in_txn(const Command& c) {
    pb::TxnRequest& txn = *txns_.back();
    if (c.name == "if") {
      *txn.add_compare() = compare_of(c);
    } else if (c.name == "then" || c.name == "else") {
      add(*(c.name == "then" ? txn.add_success() : txn.add_failure()), c);
    } else if (c.name == "end") {
      txns_.pop_back();
      if (txns_.empty()) return show<pb::TxnResponse>(apply(InternalKind::kTxn, txn_));
    } else {
      return "unknown command in a transaction\n";
    }
    return "";
  }

  void add(pb::RequestOp& op, const Command& c) {
    if (c.has("put")) *op.mutable_request_put() = put_of(c);
    if (c.has("del")) *op.mutable_request_delete_range() = delete_of(c);
    if (c.has("get")) *op.mutable_request_range() = range_of(c);
    if (c.has("txn")) txns_.push_back(op.mutable_request_txn());
  }

  StillClock clock_;
  backend::MemoryBackend backend_;
  uint64_t quota_ = UINT64_MAX;
  bool wanted_ = true;    // of the transaction under way
  std::string user_;      // who asks; empty: nobody
  int64_t asks_at_ = -1;  // by rules of this revision; negative: of the newest
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<mvcc::ReaderSlot> slot_;
  std::unique_ptr<lease::LeaseTable> leases_;
  std::unique_ptr<membership::Cluster> members_;
  std::unique_ptr<Applier> applier_;
  pb::TxnRequest txn_;
  std::vector<pb::TxnRequest*> txns_;
};

TEST(ApplyScenario, All) {
  int files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(KEELSON_SOURCE_DIR "/src/apply/testdata")) {
    World world;
    EXPECT_EQ(scenario::run_scenario(file.path(), [&](const Command& c) { return world.run(c); }),
              "");
    ++files;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace keelson::apply
