// Any bytes as what etcd, a peer or a disk may hand us to decode. What decodes is encoded again and
// decoded to the same; nothing reads past its end. The first byte chooses the kind; without
// KEELSON_FUZZER this file is part of the corpus test.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "wire/internal_request.h"
#include "wire/raft_codec.h"
#include "wire/wal_record.h"

namespace keelson::wire {
namespace {

template <typename Value>
Bytes written(const Value& value) {
  return Bytes::build(wire_size(value), [&](char* out) { write(out, value); });
}

template <typename Value, typename Decode>
void same_again(const absl::StatusOr<Value>& decoded, Decode decode) {
  if (!decoded.ok()) return;
  const Bytes once = written(*decoded);
  const absl::StatusOr<Value> again = decode(once);
  CHECK(again.ok());
  CHECK(written(*again).view() == once.view());
}

bool is_within(std::string_view part, std::string_view whole) {
  if (part.empty()) return true;
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void internal_request(std::string_view input) {
  const absl::StatusOr<InternalRequest> request = unwrap_internal(input);
  if (!request.ok()) return;
  CHECK(is_within(request->username, input));
  CHECK(is_within(request->body, input));
  const Bytes once = wrap_internal(request->id, request->username, request->auth_revision,
                                   request->kind, request->body);
  const absl::StatusOr<InternalRequest> again = unwrap_internal(once);
  CHECK(again.ok());
  CHECK(again->id == request->id);
  CHECK(again->username == request->username);
  CHECK(again->auth_revision == request->auth_revision);
  CHECK(again->kind == request->kind);
  CHECK(again->body == request->body);
}

// A record's head is the same however much of it is there, or not there yet; but metadata may be
// absent, so that a head which ends before it is one.
void record(std::string_view input) {
  Record whole;
  size_t offset = 0;
  const size_t size = parse_record_head(input, &whole, &offset);
  for (size_t cut = 0; cut < input.size() && cut < kMaxRecordOverhead; ++cut) {
    Record part;
    size_t at = 0;
    const size_t seen = parse_record_head(input.substr(0, cut), &part, &at);
    if (seen == 0 || (part.type == RecordType::kMetadata && !part.has_data)) continue;
    CHECK(seen == size);
    CHECK(at == offset);
    CHECK(part.crc == whole.crc);
  }
  const absl::StatusOr<Record> decoded = decode_record(input);
  if (!decoded.ok()) return;
  CHECK(size == input.size());
  CHECK(is_within(decoded->data, input));
  CHECK(decoded->crc == whole.crc);
}

void wal_values(std::string_view input) {
  if (auto snapshot = decode_wal_snapshot(input); snapshot.ok()) {
    const auto again = decode_wal_snapshot(encode(*snapshot));
    CHECK(again.ok());
    CHECK(*again == *snapshot);
  }
  if (auto metadata = decode_wal_metadata(input); metadata.ok()) {
    const auto again = decode_wal_metadata(encode(*metadata));
    CHECK(again.ok());
    CHECK(*again == *metadata);
  }
}

void snap_file(std::string_view input) {
  const Bytes file = Bytes::copy(input);
  const absl::StatusOr<Bytes> inside = unwrap_snap_file(file);
  if (inside.ok()) CHECK(is_within(inside->view(), file.view()));
  const absl::StatusOr<Bytes> wrapped = unwrap_snap_file(wrap_snap_file(input));
  CHECK(wrapped.ok() == !input.empty());
  if (wrapped.ok()) CHECK(wrapped->view() == input);
}

}  // namespace

void fuzz_decode(std::string_view input) {
  if (input.empty()) return;
  const auto kind = static_cast<uint8_t>(input[0]);
  input.remove_prefix(1);
  switch (kind % 8) {
    case 0:
      return internal_request(input);
    case 1:
      return same_again(decode_entry(Bytes::copy(input)),
                        [](const Bytes& b) { return decode_entry(b); });
    case 2:
      return same_again(decode_message(Bytes::copy(input)),
                        [](const Bytes& b) { return decode_message(b); });
    case 3:
      return same_again(decode_snapshot(Bytes::copy(input)),
                        [](const Bytes& b) { return decode_snapshot(b); });
    case 4:
      same_again(decode_hard_state(input), [](const Bytes& b) { return decode_hard_state(b); });
      return same_again(decode_conf_state(input),
                        [](const Bytes& b) { return decode_conf_state(b); });
    case 5:
      return record(input);
    case 6:
      return wal_values(input);
    case 7:
      return snap_file(input);
  }
}

}  // namespace keelson::wire

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::wire::fuzz_decode({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
