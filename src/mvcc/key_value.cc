// mvccpb.KeyValue by hand: on the path of every put and every read.
// Source: etcd v3.7.1, api/mvccpb/kv.proto. Fields are written in order of number, zeros left out.

#include "base/protobuf.h"
#include "mvcc/store.h"

namespace keelson::mvcc {
namespace {

enum Field : uint32_t {
  kKey = 1,
  kCreateRevision = 2,
  kModRevision = 3,
  kVersion = 4,
  kValue = 5,
  kLease = 6,
};

size_t text_size(uint32_t field, std::string_view text) {
  return text.empty() ? 0 : pb::bytes_field_size(field, text.size());
}

char* write_text(char* out, uint32_t field, std::string_view text) {
  return text.empty() ? out : pb::write_bytes_field(out, field, text);
}

}  // namespace

Bytes encode_key_value(const KeyValueView& kv) {
  auto number = [](int64_t v) { return static_cast<uint64_t>(v); };
  size_t size = text_size(kKey, kv.key) +
                pb::varint_field_size(kCreateRevision, number(kv.create_revision)) +
                pb::varint_field_size(kModRevision, number(kv.mod_revision)) +
                pb::varint_field_size(kVersion, number(kv.version)) + text_size(kValue, kv.value) +
                pb::varint_field_size(kLease, number(kv.lease));
  return Bytes::build(size, [&](char* out) {
    out = write_text(out, kKey, kv.key);
    out = pb::write_varint_field(out, kCreateRevision, number(kv.create_revision));
    out = pb::write_varint_field(out, kModRevision, number(kv.mod_revision));
    out = pb::write_varint_field(out, kVersion, number(kv.version));
    out = write_text(out, kValue, kv.value);
    pb::write_varint_field(out, kLease, number(kv.lease));
  });
}

bool decode_key_value(std::string_view encoded, KeyValueView* out) {
  *out = KeyValueView();
  pb::LoggedReader reader(encoded);
  pb::Field field;
  while (reader.next(&field)) {
    bool text = field.number == kKey || field.number == kValue;
    if (field.number <= kLease && field.type != (text ? pb::kBytes : pb::kVarint)) return false;
    auto number = static_cast<int64_t>(field.value);
    switch (field.number) {
      case kKey:
        out->key = field.bytes;
        break;
      case kCreateRevision:
        out->create_revision = number;
        break;
      case kModRevision:
        out->mod_revision = number;
        break;
      case kVersion:
        out->version = number;
        break;
      case kValue:
        out->value = field.bytes;
        break;
      case kLease:
        out->lease = number;
        break;
      default:
        break;  // a newer etcd's
    }
  }
  return reader.ok();
}

}  // namespace keelson::mvcc
