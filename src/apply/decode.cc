#include "apply/decode.h"

#include <string>

#include "base/check.h"
#include "wire/logged_message.h"

namespace keelson::apply {
namespace {

namespace etcd = etcdserverpb;
using pb::Field;
using pb::kBytes;
using pb::kVarint;

int64_t number(const Field& field) { return static_cast<int64_t>(field.value); }
// Enums are 32 bits of whatever was sent.
template <typename Enum>
Enum choice(const Field& field) {
  return static_cast<Enum>(static_cast<int32_t>(field.value));
}

template <typename Reader>
bool read(std::string_view bytes, etcd::RangeRequest& out) {
  Reader reader(bytes);
  for (Field field; reader.next(&field);) {
    if (field.type == kBytes) {
      if (field.number == 1) out.set_key(field.bytes.data(), field.bytes.size());
      if (field.number == 2) out.set_range_end(field.bytes.data(), field.bytes.size());
    } else if (field.type == kVarint) {
      switch (field.number) {
        case 3:
          out.set_limit(number(field));
          break;
        case 4:
          out.set_revision(number(field));
          break;
        case 5:
          out.set_sort_order(choice<etcd::RangeRequest::SortOrder>(field));
          break;
        case 6:
          out.set_sort_target(choice<etcd::RangeRequest::SortTarget>(field));
          break;
        case 7:
          out.set_serializable(field.value != 0);
          break;
        case 8:
          out.set_keys_only(field.value != 0);
          break;
        case 9:
          out.set_count_only(field.value != 0);
          break;
        case 10:
          out.set_min_mod_revision(number(field));
          break;
        case 11:
          out.set_max_mod_revision(number(field));
          break;
        case 12:
          out.set_min_create_revision(number(field));
          break;
        case 13:
          out.set_max_create_revision(number(field));
          break;
        default:
          break;
      }
    }
  }
  return reader.ok();
}

template <typename Reader>
bool read(std::string_view bytes, mvcc::PutRequest& out) {
  Reader reader(bytes);
  for (Field field; reader.next(&field);) {
    if (field.is(1, kBytes)) out.key = field.bytes;
    if (field.is(2, kBytes)) out.value = field.bytes;
    if (field.is(3, kVarint)) out.lease = LeaseId(number(field));
    if (field.is(4, kVarint)) out.prev_kv = field.value != 0;
    if (field.is(5, kVarint)) out.ignore_value = field.value != 0;
    if (field.is(6, kVarint)) out.ignore_lease = field.value != 0;
  }
  return reader.ok();
}

template <typename Reader>
bool read(std::string_view bytes, etcd::PutRequest& out) {
  Reader reader(bytes);
  for (Field field; reader.next(&field);) {
    if (field.is(1, kBytes)) out.set_key(field.bytes.data(), field.bytes.size());
    if (field.is(2, kBytes)) out.set_value(field.bytes.data(), field.bytes.size());
    if (field.is(3, kVarint)) out.set_lease(number(field));
    if (field.is(4, kVarint)) out.set_prev_kv(field.value != 0);
    if (field.is(5, kVarint)) out.set_ignore_value(field.value != 0);
    if (field.is(6, kVarint)) out.set_ignore_lease(field.value != 0);
  }
  return reader.ok();
}

template <typename Reader>
bool read(std::string_view bytes, etcd::DeleteRangeRequest& out) {
  Reader reader(bytes);
  for (Field field; reader.next(&field);) {
    if (field.is(1, kBytes)) out.set_key(field.bytes.data(), field.bytes.size());
    if (field.is(2, kBytes)) out.set_range_end(field.bytes.data(), field.bytes.size());
    if (field.is(3, kVarint)) out.set_prev_kv(field.value != 0);
  }
  return reader.ok();
}

template <typename Reader>
bool read(std::string_view bytes, etcd::Compare& out) {
  Reader reader(bytes);
  for (Field field; reader.next(&field);) {
    if (field.is(1, kVarint)) out.set_result(choice<etcd::Compare::CompareResult>(field));
    if (field.is(2, kVarint)) out.set_target(choice<etcd::Compare::CompareTarget>(field));
    if (field.is(3, kBytes)) out.set_key(field.bytes.data(), field.bytes.size());
    if (field.is(4, kVarint)) out.set_version(number(field));
    if (field.is(5, kVarint)) out.set_create_revision(number(field));
    if (field.is(6, kVarint)) out.set_mod_revision(number(field));
    if (field.is(7, kBytes)) out.set_value(field.bytes.data(), field.bytes.size());
    if (field.is(8, kVarint)) out.set_lease(number(field));
    if (field.is(64, kBytes)) out.set_range_end(field.bytes.data(), field.bytes.size());
  }
  return reader.ok();
}

// The recursive part. What is met twice is merged, as protobuf has it.
template <typename Reader>
class TxnReader {
 public:
  absl::Status read_txn(std::string_view bytes, etcd::TxnRequest& out, int left) {
    CHECK(left <= kMostNested);
    if (left < 1) return too_deep();
    Reader reader(bytes);
    for (Field field; reader.next(&field);) {
      if (field.type != kBytes) continue;
      absl::Status status;
      if (field.number == 1) {
        if (left < 2) return too_deep();
        if (!read<Reader>(field.bytes, *out.add_compare())) return malformed();
      } else if (field.number == 2) {
        status = read_op(field.bytes, *out.add_success(), left - 1);
      } else if (field.number == 3) {
        status = read_op(field.bytes, *out.add_failure(), left - 1);
      }
      if (!status.ok()) return status;
    }
    return reader.ok() ? absl::OkStatus() : malformed();
  }

 private:
  absl::Status read_op(std::string_view bytes, etcd::RequestOp& out, int left) {
    CHECK(left >= 0);
    if (left < 2) return too_deep();
    Reader reader(bytes);
    for (Field field; reader.next(&field);) {
      if (field.type != kBytes) continue;
      if (field.number == 1) {
        if (!read<Reader>(field.bytes, *out.mutable_request_range())) return malformed();
      } else if (field.number == 2) {
        if (!read<Reader>(field.bytes, *out.mutable_request_put())) return malformed();
      } else if (field.number == 3) {
        if (!read<Reader>(field.bytes, *out.mutable_request_delete_range())) return malformed();
      } else if (field.number == 4) {
        absl::Status s = read_txn(field.bytes, *out.mutable_request_txn(), left - 1);
        if (!s.ok()) return s;
      }
    }
    return reader.ok() ? absl::OkStatus() : malformed();
  }
};

template <typename Reader, typename Request>
absl::Status decode_flat(std::string_view bytes, Request* request) {
  *request = Request();
  return read<Reader>(bytes, *request) ? absl::OkStatus() : malformed();
}

template <typename Reader>
absl::Status decode_txn(std::string_view bytes, etcd::TxnRequest* request) {
  request->Clear();
  return TxnReader<Reader>().read_txn(bytes, *request, kMostNested);
}

absl::Status or_unreadable(const absl::Status& status) {
  return status.ok() ? status : unreadable();
}

}  // namespace

absl::Status malformed() {
  return absl::InternalError(
      "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data");
}

absl::Status too_deep() {
  return absl::InternalError(
      "grpc: error unmarshalling request: proto: exceeded maximum recursion depth");
}

absl::Status unreadable() {
  return absl::DataLossError(
      "its bytes are not what they should be; remove the member from the cluster and add it anew");
}

absl::Status decode(std::string_view bytes, mvcc::PutRequest* request) {
  return decode_flat<pb::Reader>(bytes, request);
}
mvcc::PutRequest put_of(const etcd::PutRequest& put) {
  return {.key = put.key(),
          .value = put.value(),
          .lease = LeaseId(put.lease()),
          .ignore_value = put.ignore_value(),
          .ignore_lease = put.ignore_lease(),
          .prev_kv = put.prev_kv()};
}

absl::Status decode(std::string_view bytes, etcd::RangeRequest* request) {
  request->Clear();  // keeps the memory of the one before
  return read<pb::Reader>(bytes, *request) ? absl::OkStatus() : malformed();
}
absl::Status decode(std::string_view bytes, etcd::DeleteRangeRequest* request) {
  return decode_flat<pb::Reader>(bytes, request);
}
absl::Status decode(std::string_view bytes, etcd::TxnRequest* request) {
  return decode_txn<pb::Reader>(bytes, request);
}

absl::Status decode_logged(std::string_view bytes, mvcc::PutRequest* request) {
  return or_unreadable(decode_flat<pb::LoggedReader>(bytes, request));
}
absl::Status decode_logged(std::string_view bytes, etcd::DeleteRangeRequest* request) {
  return or_unreadable(decode_flat<pb::LoggedReader>(bytes, request));
}
absl::Status decode_logged(std::string_view bytes, etcd::TxnRequest* request) {
  return or_unreadable(decode_txn<pb::LoggedReader>(bytes, request));
}
absl::Status decode_logged(std::string_view bytes, google::protobuf::Message* request) {
  return wire::read_logged(bytes, request) ? absl::OkStatus() : unreadable();
}

}  // namespace keelson::apply
