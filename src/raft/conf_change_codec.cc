// The protobuf encoding of conf changes, by hand: four small messages whose bytes are fixed by
// etcd. Numbers and enums that raft itself sets are always written, also when zero, as etcd does.

#include <string>

#include "raft/conf_change.h"

namespace keelson::raft {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

class Writer {
 public:
  void number(uint32_t field, uint64_t value) {
    varint(field << 3 | kVarint);
    varint(value);
  }
  void bytes(uint32_t field, std::string_view value) {
    varint(field << 3 | kLengthDelimited);
    varint(value.size());
    out_.append(value);
  }
  const std::string& text() const { return out_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }

  std::string out_;
};

// Walks the fields of one message; unknown ones are stepped over.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  // The next field; false at the end or at bytes that are no protobuf (then failed()).
  bool next() {
    if (in_.empty()) return false;
    const uint64_t key = varint();
    field_ = key >> 3;
    wire_ = key & 7;
    if (field_ == 0) failed_ = true;
    if (!failed_) read_value();
    return !failed_;
  }

  uint64_t field() const { return field_; }
  bool failed() const { return failed_; }
  // The value, if it has the wanted wire type; the bytes are malformed for us otherwise.
  uint64_t number() {
    if (wire_ != kVarint) failed_ = true;
    return number_;
  }
  std::string_view bytes() {
    if (wire_ != kLengthDelimited) failed_ = true;
    return bytes_;
  }

 private:
  void read_value() {
    switch (wire_) {
      case kVarint:
        number_ = varint();
        return;
      case kFixed64:
        take(8);
        return;
      case kLengthDelimited:
        bytes_ = take(varint());
        return;
      case kFixed32:
        take(4);
        return;
      default:
        failed_ = true;
    }
  }

  std::string_view take(uint64_t size) {
    if (failed_ || size > in_.size()) {
      failed_ = true;
      return {};
    }
    std::string_view part = in_.substr(0, size);
    in_.remove_prefix(size);
    return part;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !in_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    failed_ = true;
    return 0;
  }

  std::string_view in_;
  uint64_t field_ = 0;
  uint32_t wire_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
  bool failed_ = false;
};

absl::Status malformed() {
  return absl::InvalidArgumentError("proto: cannot parse invalid wire-format data");
}

ConfChangeSingle decode_single(Reader& in) {
  ConfChangeSingle change;
  while (in.next()) {
    switch (in.field()) {
      case 1:
        change.type = static_cast<ConfChangeType>(in.number());
        break;
      case 2:
        change.node_id = MemberId(in.number());
        break;
    }
  }
  return change;
}

}  // namespace

Bytes encode(const ConfChange& change) {
  Writer out;
  if (change.id != 0) out.number(1, change.id);
  out.number(2, static_cast<uint32_t>(change.type));
  out.number(3, change.node_id.value);
  if (!change.context.empty()) out.bytes(4, change.context);
  return Bytes::copy(out.text());
}

Bytes encode(const ConfChangeV2& change) {
  Writer out;
  out.number(1, static_cast<uint32_t>(change.transition));
  for (const ConfChangeSingle& single : change.changes) {
    Writer inner;
    inner.number(1, static_cast<uint32_t>(single.type));
    inner.number(2, single.node_id.value);
    out.bytes(2, inner.text());
  }
  if (!change.context.empty()) out.bytes(3, change.context);
  return Bytes::copy(out.text());
}

absl::StatusOr<ConfChange> decode_conf_change(std::string_view bytes) {
  ConfChange change;
  Reader in(bytes);
  while (in.next()) {
    switch (in.field()) {
      case 1:
        change.id = in.number();
        break;
      case 2:
        change.type = static_cast<ConfChangeType>(in.number());
        break;
      case 3:
        change.node_id = MemberId(in.number());
        break;
      case 4:
        change.context = Bytes::copy(in.bytes());
        break;
    }
  }
  if (in.failed()) return malformed();
  return change;
}

absl::StatusOr<ConfChangeV2> decode_conf_change_v2(std::string_view bytes) {
  ConfChangeV2 change;
  Reader in(bytes);
  while (in.next()) {
    switch (in.field()) {
      case 1:
        change.transition = static_cast<ConfChangeTransition>(in.number());
        break;
      case 2: {
        Reader inner(in.bytes());
        change.changes.push_back(decode_single(inner));
        if (inner.failed()) return malformed();
        break;
      }
      case 3:
        change.context = Bytes::copy(in.bytes());
        break;
    }
  }
  if (in.failed()) return malformed();
  return change;
}

}  // namespace keelson::raft
