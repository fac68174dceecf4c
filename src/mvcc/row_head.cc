#include "mvcc/row_head.h"

#include <limits>

#include "base/protobuf.h"
#include "base/text.h"
#include "mvcc/revision_key.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

// The numbers of the KeyValue's fields; the size stands in the place of the value.
enum Field : uint32_t { kKey = 1, kCreateRevision = 2, kVersion = 4, kSize = 5, kLease = 6 };

uint64_t bits(int64_t v) { return static_cast<uint64_t>(v); }

}  // namespace

absl::Status damaged_database(std::string_view what) {
  return absl::DataLossError(cat("mvcc: ", what,
                                 "; the database is damaged: restore this member from a snapshot "
                                 "or add it anew"));
}

absl::Status append_row_head(std::string_view row, std::string_view value, std::string* head) {
  ParsedRevision at;
  if (!parse_revision_key(row, &at)) return damaged_database("a revision does not parse");
  if (value.empty() && !at.tombstone) {
    pb::append_bytes_field(*head, kKey, {});
    return absl::OkStatus();
  }
  KeyValueView kv;
  if (!decode_key_value(value, &kv) || kv.key.empty() ||
      value.size() > std::numeric_limits<uint32_t>::max()) {
    return damaged_database(cat("the KeyValue of revision ", at.revision.main, " does not parse"));
  }
  if (!at.tombstone && kv.mod_revision != at.revision.main) {
    return damaged_database(cat("the KeyValue of revision ", at.revision.main,
                                " says it is of revision ", kv.mod_revision));
  }
  pb::append_bytes_field(*head, kKey, kv.key);
  pb::append_varint_field(*head, kCreateRevision, bits(kv.create_revision));
  pb::append_varint_field(*head, kVersion, bits(kv.version));
  pb::append_varint_field(*head, kSize, value.size());
  pb::append_varint_field(*head, kLease, bits(kv.lease));
  return absl::OkStatus();
}

bool decode_row_head(std::string_view head, RowHead* out) {
  *out = RowHead();
  if (head.empty()) return false;
  pb::Reader reader(head);
  pb::Field field;
  while (reader.next(&field)) {
    if (field.type != (field.number == kKey ? pb::kBytes : pb::kVarint)) return false;
    const auto number = static_cast<int64_t>(field.value);
    switch (field.number) {
      case kKey:
        out->key = field.bytes;
        break;
      case kCreateRevision:
        out->create_revision = number;
        break;
      case kVersion:
        out->version = number;
        break;
      case kSize:
        if (field.value > std::numeric_limits<uint32_t>::max()) return false;
        out->size = static_cast<uint32_t>(field.value);
        break;
      case kLease:
        out->lease = number;
        break;
      default:
        return false;
    }
  }
  // Both or none.
  return reader.ok() && out->key.empty() == (out->size == 0);
}

}  // namespace keelson::mvcc
