#include "load/messages.h"

#include <arpa/inet.h>

#include <cstring>

#include "base/protobuf.h"

namespace keelson::bench {
namespace {

constexpr size_t kFrameHead = 5;

// Puts the head of a frame in front of what its maker appends.
class Frame {
 public:
  explicit Frame(std::string& out) : out_(out), begin_(out.size()) {
    out_.append(kFrameHead, '\0');
  }
  ~Frame() {
    uint32_t length = htonl(static_cast<uint32_t>(out_.size() - begin_ - kFrameHead));
    std::memcpy(out_.data() + begin_ + 1, &length, sizeof length);
  }
  Frame(const Frame&) = delete;

 private:
  std::string& out_;
  size_t begin_;
};

size_t put_size(std::string_view key, std::string_view value) {
  return pb::bytes_field_size(1, key.size()) + pb::bytes_field_size(2, value.size());
}
void append_put(std::string& out, std::string_view key, std::string_view value) {
  pb::append_bytes_field(out, 1, key);
  pb::append_bytes_field(out, 2, value);
}

std::string mod_revision_is(std::string_view key, int64_t revision) {
  constexpr uint64_t kModTarget = 2;
  std::string compare;  // result 0: equal
  pb::append_varint_field(compare, 2, kModTarget);
  pb::append_bytes_field(compare, 3, key);
  pb::append_varint(compare, pb::tag(6, pb::kVarint));
  pb::append_varint(compare, static_cast<uint64_t>(revision));
  return compare;
}

}  // namespace

void add_range(std::string& out, const RangeSpec& range) {
  Frame frame(out);
  pb::append_bytes_field(out, 1, range.key);
  if (!range.range_end.empty()) pb::append_bytes_field(out, 2, range.range_end);
  pb::append_varint_field(out, 3, static_cast<uint64_t>(range.limit));
  pb::append_varint_field(out, 7, range.serializable ? 1 : 0);
}

void add_put(std::string& out, std::string_view key, std::string_view value) {
  Frame frame(out);
  append_put(out, key, value);
}

void add_guarded_put(std::string& out, std::string_view key, std::string_view value,
                     int64_t revision) {
  std::string put, range, otherwise;
  add_put_operation(put, key, value);
  pb::append_bytes_field(range, 1, key);
  pb::append_bytes_field(otherwise, 1, range);

  Frame frame(out);
  pb::append_bytes_field(out, 1, mod_revision_is(key, revision));
  out.append(put);
  pb::append_bytes_field(out, 3, otherwise);
}

// One element of TxnRequest.success: a RequestOp that holds a put.
void add_put_operation(std::string& operations, std::string_view key, std::string_view value) {
  size_t size = put_size(key, value);
  pb::append_bytes_head(operations, 2, pb::bytes_field_size(2, size));
  pb::append_bytes_head(operations, 2, size);
  append_put(operations, key, value);
}

void add_transaction(std::string& out, std::string_view operations) {
  Frame frame(out);
  out.append(operations);
}

void add_watch_create(std::string& out, std::string_view key, std::string_view range_end) {
  std::string create;
  append_put(create, key, range_end);  // the same two field numbers
  Frame frame(out);
  pb::append_bytes_field(out, 1, create);
}

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  ++end.back();
  return end;
}

std::string_view message_of_frame(std::string_view frame) {
  if (frame.size() < kFrameHead) return {};
  uint32_t length = 0;
  std::memcpy(&length, frame.data() + 1, sizeof length);
  if (frame.size() != kFrameHead + ntohl(length)) return {};
  return frame.substr(kFrameHead);
}

bool read_range_answer(std::string_view message, RangeAnswer* answer) {
  pb::Reader reader(message);
  pb::Field field;
  std::string_view last;
  while (reader.next(&field)) {
    if (field.number == 2) last = field.bytes, ++answer->keys;
    if (field.number == 3) answer->more = field.value != 0;
    if (field.number == 4) answer->count = static_cast<int64_t>(field.value);
  }
  pb::Reader key_value(last);
  while (key_value.next(&field)) {
    if (field.number == 1) answer->last_key = field.bytes;
  }
  return reader.ok() && key_value.ok();
}

bool read_txn_answer(std::string_view message, TxnAnswer* answer) {
  pb::Reader reader(message);
  pb::Field field;
  std::string_view head;
  while (reader.next(&field)) {
    if (field.number == 1) head = field.bytes;
    if (field.number == 2) answer->succeeded = field.value != 0;
  }
  pb::Reader header(head);
  while (header.next(&field)) {
    if (field.number == 3) answer->revision = static_cast<int64_t>(field.value);
  }
  return reader.ok() && header.ok();
}

}  // namespace keelson::bench
