// Any bytes as requests of clients and as entries of the log. What the door takes, the state
// machine can read back and does, so that no client ends a member; what it cannot read ends the
// member with a status, never a CHECK; and what we decode by hand is what protobuf reads in it.
//
// The input is a list: a byte for the kind, two for a length (little-endian), so many bytes.
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "apply/applier.h"
#include "apply/decode.h"
#include "apply/txn.h"
#include "backend/memory_backend.h"
#include "base/check.h"
#include "base/log.h"
#include "proto/raft_internal.pb.h"
#include "rpc/canonical.h"
#include "rpc/checks.h"

namespace keelson::rpc {
namespace {

namespace pb = etcdserverpb;
using wire::InternalKind;

constexpr int64_t kMaxTxnOps = 128;

class StillClock final : public Clock {
 public:
  MonotonicTime now() const override { return {std::chrono::seconds(100)}; }
  Duration unix_time() const override { return std::chrono::hours(1); }
};

class Quiet final : public log::Sink {
 public:
  Quiet() { log::set_sink(this); }
  ~Quiet() { log::set_sink(nullptr); }
  bool enabled(log::Level) const override { return false; }
  void write(log::Level, std::source_location, std::string_view, log::Fields) override {}
};

// What protobuf makes of it must be the same, if it takes it at all (it knows fewer forms of a
// number than Go, and less depth).
template <typename Message>
void compare_with_protobuf(std::string_view bytes, const Message& ours) {
  Message theirs;
  if (!theirs.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  theirs.DiscardUnknownFields();
  CHECK(theirs.SerializeAsString() == ours.SerializeAsString());
}

void compare_with_protobuf(std::string_view bytes, const mvcc::PutRequest& ours) {
  pb::PutRequest theirs;
  if (!theirs.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  CHECK(theirs.key() == ours.key);
  CHECK(theirs.value() == ours.value);
  CHECK(theirs.lease() == ours.lease.value);
  CHECK(theirs.prev_kv() == ours.prev_kv);
  CHECK(theirs.ignore_value() == ours.ignore_value);
  CHECK(theirs.ignore_lease() == ours.ignore_lease);
}

class Member {
 public:
  Member() {
    leases_ = std::make_unique<lease::LeaseTable>(lease::LeaseOptions{});
    store_ = *mvcc::Store::open(&backend_, {.value_memory = 256, .liveness_ring = 16});
    applier_ = *apply::Applier::create(&backend_, store_.get(), leases_.get(), &members_, &clock_,
                                       {.compaction_slice = 3}, [](mvcc::EventBatchPtr) {});
    slot_ = store_->register_reader();
  }

  // False: the member has ended.
  bool step(uint8_t kind, std::string_view bytes) {
    if (kind >= 0xf0) return auth(kind & 0xf, bytes);
    switch (kind % 12) {
      case 0:
        range(bytes);
        return true;
      case 1:
        return through_the_door<mvcc::PutRequest>(InternalKind::kPut, bytes);
      case 2:
        return through_the_door<pb::DeleteRangeRequest>(InternalKind::kDeleteRange, bytes);
      case 3:
        return txn(bytes);
      case 4:
        return few_fields<pb::CompactionRequest>(InternalKind::kCompaction, bytes);
      case 5:
        return few_fields<pb::LeaseGrantRequest>(InternalKind::kLeaseGrant, bytes);
      case 6:
        return few_fields<pb::LeaseRevokeRequest>(InternalKind::kLeaseRevoke, bytes);
      case 7:
        return few_fields<pb::AlarmRequest>(InternalKind::kAlarm, bytes);
      case 8:
        publish();
        return true;
      case 9:
        return conf_change(bytes);
      default:
        // From another member's log, or a disk: of these the member may end.
        return applied(Bytes::copy(bytes)).ok();
    }
  }

  void publish() {
    if (index_ == Index(0)) return;
    CHECK(applier_->publish(index_, Term(1)).ok());
    while (applier_->has_background_work()) CHECK(applier_->background_step().ok());
    store_->check_invariants();
  }

 private:
  absl::StatusOr<apply::Reply> applied(Bytes entry) {
    absl::StatusOr<apply::Reply> reply = applier_->apply(
        {.term = Term(1), .index = index_ + 1, .data = std::move(entry)}, index_.value % 2 == 0);
    if (reply.ok()) index_ = index_ + 1;
    return reply;
  }

  void must_apply(InternalKind kind, std::string_view bytes) {
    const Bytes entry = wire::wrap_internal(7, {}, 0, kind, bytes);
    const absl::StatusOr<wire::InternalRequest> inside = wire::unwrap_internal(entry);
    CHECK(inside.ok());
    CHECK(inside->kind == kind);
    CHECK(inside->body == bytes);
    CHECK(applied(entry).ok());
  }

  // Not one byte is proposed that is not of the request as it was decoded.
  template <typename Request>
  static std::string proposed(std::string_view bytes, Request& request) {
    const std::string again = canonical(request);
    if (!is_canonical(bytes, request)) return again;
    CHECK(bytes.size() == again.size());
    return std::string(bytes);
  }

  template <typename Request>
  bool through_the_door(InternalKind kind, std::string_view bytes) {
    Request request;
    if (!apply::decode(bytes, &request).ok()) return true;
    compare_with_protobuf(bytes, request);
    if (check(request).ok()) must_apply(kind, proposed(bytes, request));
    return true;
  }

  bool txn(std::string_view bytes) {
    pb::TxnRequest request;
    if (!apply::decode(bytes, &request).ok()) return true;
    compare_with_protobuf(bytes, request);
    if (!check(request, kMaxTxnOps).ok()) return true;
    if (is_read_only(request)) {
      apply::TxnOps counts;
      apply::run_read_only_txn(store_->read(*slot_), request, counts).status().IgnoreError();
    }
    must_apply(InternalKind::kTxn, proposed(bytes, request));
    return true;
  }

  void range(std::string_view bytes) {
    pb::RangeRequest request;
    if (!apply::decode(bytes, &request).ok()) return;
    compare_with_protobuf(bytes, request);
    check_range_stream(request).IgnoreError();
    if (!check(request).ok()) return;
    apply::run_range(store_->read(*slot_), request).status().IgnoreError();
  }

  template <typename Request>
  bool few_fields(InternalKind kind, std::string_view bytes) {
    Request request;
    if (apply::decode(bytes, &request).ok()) must_apply(kind, canonical(request));
    return true;
  }

  bool auth(int which, std::string_view bytes) {
    switch (which) {
      case 0:
        return few_fields<pb::AuthEnableRequest>(InternalKind::kAuthEnable, bytes);
      case 1:
        return few_fields<pb::AuthDisableRequest>(InternalKind::kAuthDisable, bytes);
      case 2:
        return with_password<pb::AuthUserAddRequest>(InternalKind::kAuthUserAdd, bytes);
      case 3:
        return with_password<pb::AuthUserChangePasswordRequest>(
            InternalKind::kAuthUserChangePassword, bytes);
      case 4:
        return few_fields<pb::AuthUserDeleteRequest>(InternalKind::kAuthUserDelete, bytes);
      case 5:
        return few_fields<pb::AuthUserGrantRoleRequest>(InternalKind::kAuthUserGrantRole, bytes);
      case 6:
        return few_fields<pb::AuthUserRevokeRoleRequest>(InternalKind::kAuthUserRevokeRole, bytes);
      case 7:
        return few_fields<pb::AuthUserGetRequest>(InternalKind::kAuthUserGet, bytes);
      case 8:
        return few_fields<pb::AuthRoleAddRequest>(InternalKind::kAuthRoleAdd, bytes);
      case 9:
        return few_fields<pb::AuthRoleDeleteRequest>(InternalKind::kAuthRoleDelete, bytes);
      case 10:
        return few_fields<pb::AuthRoleGetRequest>(InternalKind::kAuthRoleGet, bytes);
      case 11:
        return few_fields<pb::AuthRoleGrantPermissionRequest>(
            InternalKind::kAuthRoleGrantPermission, bytes);
      case 12:
        return few_fields<pb::AuthRoleRevokePermissionRequest>(
            InternalKind::kAuthRoleRevokePermission, bytes);
      case 13:
        return few_fields<pb::InternalAuthenticateRequest>(InternalKind::kAuthenticate, bytes);
      default:
        return few_fields<pb::AuthUserListRequest>(InternalKind::kAuthUserList, bytes);
    }
  }

  // The door logs no password: only what it is hashed to, or says itself that it is.
  template <typename Request>
  bool with_password(InternalKind kind, std::string_view bytes) {
    Request request;
    if (!apply::decode(bytes, &request).ok()) return true;
    request.clear_password();
    must_apply(kind, canonical(request));
    return true;
  }

  bool conf_change(std::string_view bytes) {
    const raft::EntryType type =
        bytes.size() % 2 == 0 ? raft::EntryType::kConfChange : raft::EntryType::kConfChangeV2;
    const raft::Entry entry{
        .type = type, .term = Term(1), .index = index_ + 1, .data = Bytes::copy(bytes)};
    if (!applier_->apply_conf_change(entry).ok()) return false;
    index_ = index_ + 1;
    return true;
  }

  StillClock clock_;
  backend::MemoryBackend backend_;
  membership::Cluster members_{ClusterId(1)};
  std::unique_ptr<lease::LeaseTable> leases_;
  std::unique_ptr<mvcc::Store> store_;
  std::unique_ptr<apply::Applier> applier_;
  std::unique_ptr<mvcc::ReaderSlot> slot_;
  Index index_;
};

}  // namespace

void fuzz_requests(std::string_view input) {
  Quiet quiet;
  Member member;
  while (input.size() >= 3) {
    const auto kind = static_cast<uint8_t>(input[0]);
    const size_t length = static_cast<uint8_t>(input[1]) | static_cast<uint8_t>(input[2]) << 8;
    input.remove_prefix(3);
    const std::string_view bytes = input.substr(0, length);
    input.remove_prefix(bytes.size());
    if (!member.step(kind, bytes)) return;  // nothing of it is published
  }
  member.publish();
}

}  // namespace keelson::rpc

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::rpc::fuzz_requests({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
