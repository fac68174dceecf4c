#include "apply/body.h"

#include <cstring>
#include <string>
#include <utility>

#include "base/protobuf.h"

namespace keelson::apply {
namespace {

// Below this, copying a piece is cheaper than carrying it; in answers above kWholeCopy only truly
// small pieces are copied, so that a huge answer costs references and not its size in memory.
constexpr size_t kCopyBelow = 4096;
constexpr size_t kWholeCopy = 1 << 20;
constexpr size_t kCopyBelowInHuge = 256;

// Appends fields to a message made of gathered and shared pieces.
class BodyWriter {
 public:
  explicit BodyWriter(size_t expected) : copy_below_(limit_for(expected)) {
    if (copy_below_ == kCopyBelow) gathered_.reserve(expected);
  }

  void varint(uint32_t field, uint64_t value) { pb::append_varint_field(gathered_, field, value); }

  void bytes(uint32_t field, const Bytes& content) {
    pb::append_bytes_head(gathered_, field, content.size());
    piece(content);
  }

  void message(uint32_t field, std::string_view head, Parts content) {
    pb::append_bytes_head(gathered_, field, head.size() + content.size());
    gathered_.append(head);
    parts(std::move(content));
  }

  void parts(Parts content) {
    for (const Bytes& part : content.parts()) piece(part);
  }

  Parts finish() {
    close_gathered();
    return std::move(out_);
  }

 private:
  static size_t limit_for(size_t expected) {
    return expected <= kWholeCopy ? kCopyBelow : kCopyBelowInHuge;
  }

  void piece(const Bytes& content) {
    if (content.size() < copy_below_) {
      gathered_.append(content.view());
    } else {
      close_gathered();
      out_.add(content);
    }
  }

  void close_gathered() {
    out_.add(Bytes::copy(gathered_));
    gathered_.clear();
  }

  const size_t copy_below_;
  std::string gathered_;
  Parts out_;
};

size_t size_of(const std::vector<Bytes>& pieces) {
  size_t size = 0;
  for (const Bytes& piece : pieces) size += piece.size() + 6;
  return size;
}

}  // namespace

Parts range_body(const mvcc::RangeResult& result) {
  BodyWriter writer(size_of(result.kvs) + 16);
  for (const Bytes& kv : result.kvs) writer.bytes(2, kv);
  writer.varint(3, result.more ? 1 : 0);
  writer.varint(4, static_cast<uint64_t>(result.count));
  return writer.finish();
}

Parts put_body(const Bytes& prev_kv) {
  if (prev_kv.empty()) return {};
  BodyWriter writer(prev_kv.size() + 6);
  writer.bytes(2, prev_kv);
  return writer.finish();
}

Parts delete_body(const mvcc::DeleteResult& result) {
  BodyWriter writer(size_of(result.prev_kvs) + 12);
  writer.varint(2, static_cast<uint64_t>(result.deleted));
  for (const Bytes& kv : result.prev_kvs) writer.bytes(3, kv);
  return writer.finish();
}

Parts response_op(uint32_t op, int64_t revision, Parts body) {
  std::string header;
  pb::append_varint_field(header, 3, static_cast<uint64_t>(revision));
  std::string head;
  pb::append_bytes_field(head, 1, header);
  BodyWriter writer(head.size() + body.size() + 12);
  writer.message(op, head, std::move(body));
  return writer.finish();
}

Parts txn_body(bool succeeded, std::vector<Parts> ops) {
  size_t size = 4;
  for (const Parts& op : ops) size += op.size() + 6;
  BodyWriter writer(size);
  writer.varint(2, succeeded ? 1 : 0);
  for (Parts& op : ops) writer.message(3, {}, std::move(op));
  return writer.finish();
}

}  // namespace keelson::apply
