#include "wal/log_reader.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/text.h"
#include "wal/framing.h"

namespace keelson::wal {

namespace {

bool is_zero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

uint64_t next_sector(uint64_t offset) { return (offset / kSectorSize + 1) * kSectorSize; }

}  // namespace

absl::Status damaged(std::string_view path, uint64_t offset, std::string_view what) {
  return absl::DataLossError(to_absl(
      cat("wal: ", path, " is damaged at offset ", offset, ": ", what,
          ". A crash does not leave this, so nothing was repaired or changed. In a cluster: remove "
          "this member, empty its data directory and add it again. A single member: restore the "
          "directory from a backup, or a new cluster from a snapshot")));
}

absl::Status LogReader::damage(std::string_view what) const {
  return damaged(segment().path, offset_, what);
}

absl::Status LogReader::open_segment() {
  absl::StatusOr<uint64_t> size = segment().file->size();
  if (!size.ok()) return size.status();
  size_ = *size;
  offset_ = 0;
  record_offset_ = 0;
  records_ = 0;
  sums_ = 0;
  window_.look_at(*segment().file, size_);
  opened_ = true;
  return absl::OkStatus();
}

absl::Status LogReader::go_on(std::span<const Segment> segments) {
  CHECK(!segments.empty());
  segments_ = segments;
  current_ = 0;
  again_segment_.reset();
  if (!opened_) return absl::OkStatus();
  absl::StatusOr<uint64_t> size = segment().file->size();
  if (!size.ok()) return size.status();
  if (*size < offset_) return damage("the file became shorter than what was read of it");
  size_ = *size;
  window_.look_at(*segment().file, size_);  // forgets the block: what was zero may be records now
  return absl::OkStatus();
}

absl::StatusOr<LogReader::Outcome> LogReader::next(Record* record) {
  while (true) {
    if (!opened_) {
      absl::Status status = open_segment();
      if (!status.ok()) return status;
    }
    absl::StatusOr<std::string_view> head = view(offset_, kLengthFieldSize);
    if (!head.ok()) return head.status();
    const bool whole = head->size() == kLengthFieldSize;
    const uint64_t field = whole ? load_length_field(head->data()) : 0;

    if (!whole && in_tail() && !is_zero(*head)) return Outcome::kTorn;  // the file ends in it
    if (field == 0) {
      absl::StatusOr<Outcome> end = finish_segment();
      if (!end.ok() || in_last()) return end;
      ++current_;
      opened_ = false;
      continue;
    }
    std::optional<uint64_t> record_size = decode_length_field(field);
    if (!record_size) return damage("a length that no writer makes");

    absl::StatusOr<bool> good = read_record(*record_size, record);
    if (!good.ok()) return good.status();
    if (!*good) return judge(*record_size);

    record_offset_ = offset_;
    offset_ += kLengthFieldSize + *record_size + padding_of(*record_size);
    CHECK(offset_ <= size_);
    ++records_;
    ends_in_sum_ = record->type == wire::RecordType::kCrc;
    if (!ends_in_sum_) return Outcome::kRecord;
    ++sums_;
  }
}

// Nothing is written at offset_: is that how a log ends?
absl::StatusOr<LogReader::Outcome> LogReader::finish_segment() {
  // The head of a segment is durable before the segment gets its name.
  if (records_ < 2) return damage("the segment's head is missing");
  // A length is zero because its sector was last written before the record was: then nothing
  // follows in the sector. In a segment that was left for the next one, nothing follows at all.
  const uint64_t zero_to = in_tail() ? std::min(size_, next_sector(offset_)) : size_;
  absl::StatusOr<bool> zero = all_zero(offset_, zero_to);
  if (!zero.ok()) return zero.status();
  if (!*zero) return damage("a length of zero with data behind it");
  if (!in_tail() || zero_to - offset_ != kLengthFieldSize) return Outcome::kEnd;
  // Nothing else of this sector would show that the length was there: what comes next may.
  absl::StatusOr<Outcome> torn = torn_unless_durable();
  return torn.ok() ? Outcome::kEnd : torn;
}

// Reads the record at offset_. False when it does not check out, whatever the reason; an error for
// what cannot be a crash's doing.
absl::StatusOr<bool> LogReader::read_record(uint64_t record_size, Record* record) {
  const uint64_t room = size_ - offset_ - kLengthFieldSize;
  const size_t padding = padding_of(record_size);
  if (record_size > room || record_size + padding > room) return false;

  absl::StatusOr<std::string_view> frame = view(offset_, kLengthFieldSize + record_size + padding);
  if (!frame.ok()) return frame.status();
  if (frame->size() != kLengthFieldSize + record_size + padding) {
    return damage("the file became shorter while it was read");
  }
  absl::StatusOr<wire::Record> parsed =
      wire::decode_record(frame->substr(kLengthFieldSize, record_size));
  if (!parsed.ok()) return false;

  const bool is_sum = parsed->type == wire::RecordType::kCrc;
  if (is_sum && !chain_known_) {
    chain_ = parsed->crc;  // where the sum stood when the segments before were written
    chain_known_ = true;
  }
  const uint32_t sum = crc32c::extend(chain_, parsed->data);
  if (sum != parsed->crc) {
    // A sum names the sum of what is before it, and that has checked out.
    if (is_sum) return damage("the sum does not continue what is before it");
    return false;
  }
  if (!is_zero(frame->substr(kLengthFieldSize + record_size))) return damage("padding not zero");
  absl::Status order = check_order(parsed->type);
  if (!order.ok()) return order;

  const Place place{static_cast<uint32_t>(current_), chain_, offset_, record_size};
  chain_ = sum;
  *record = Record{parsed->type, parsed->data, window_.block(), place};
  return true;
}

absl::StatusOr<LogReader::Record> LogReader::read_again(const Place& place) {
  const Segment& segment = segments_[place.segment];
  if (again_segment_ != place.segment) {
    absl::StatusOr<uint64_t> size = segment.file->size();
    if (!size.ok()) return size.status();
    again_.look_at(*segment.file, *size);
    again_segment_ = place.segment;
  }
  absl::StatusOr<std::string_view> bytes = again_.view(place.offset + kLengthFieldSize, place.size);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<wire::Record> parsed = wire::decode_record(*bytes);
  if (!parsed.ok() || crc32c::extend(place.chain, parsed->data) != parsed->crc) {
    return damaged(segment.path, place.offset, "the record reads differently the second time");
  }
  return Record{parsed->type, parsed->data, again_.block(), place};
}

// The sum does not cover a record's type: a segment begins with a sum and metadata, and has more
// sums later on, but no more metadata.
absl::Status LogReader::check_order(wire::RecordType type) {
  const bool sum = type == wire::RecordType::kCrc;
  const bool metadata = type == wire::RecordType::kMetadata;
  if (records_ == 0 && !sum) return damage("a segment begins with its sum");
  if (metadata != (records_ == 1)) return damage("a segment's metadata follows its sum, once");
  return absl::OkStatus();
}

// The record at offset_ does not check out: torn, or damaged?
absl::StatusOr<LogReader::Outcome> LogReader::judge(uint64_t record_size) {
  if (!in_tail()) return damage("the record does not check out");
  if (records_ < 2) return damage("the segment's head does not check out");

  // The record says its size twice. Its head is there, unless a sector of it is lacking; then both
  // sizes agree, torn or not.
  const uint64_t start = offset_ + kLengthFieldSize;
  const uint64_t sector_end = next_sector(offset_);
  const uint64_t head_end = start + std::min<uint64_t>(record_size, wire::kMaxRecordOverhead);
  absl::StatusOr<std::optional<Head>> head = head_in(start, std::min(head_end, sector_end));
  if (head.ok() && !*head) {
    absl::StatusOr<bool> lacks = lacks_sector(sector_end, head_end);
    if (!lacks.ok()) return lacks.status();
    if (*lacks) return torn_unless_durable();
    head = head_in(start, head_end);
  }
  if (!head.ok()) return head.status();
  if (!*head || (*head)->record_size != record_size) {
    return damage("the record contradicts its length");
  }
  absl::StatusOr<bool> lacks =
      lacks_sector(sector_end, start + record_size + padding_of(record_size));
  if (!lacks.ok()) return lacks.status();
  if (*lacks) return torn_unless_durable();
  return damage("the record does not check out");
}

// The record's head in [start, end); nothing when that is none, or not all of it.
absl::StatusOr<std::optional<LogReader::Head>> LogReader::head_in(uint64_t start, uint64_t end) {
  if (start >= end) return std::nullopt;
  absl::StatusOr<std::string_view> bytes = view(start, end - start);
  if (!bytes.ok()) return bytes.status();
  wire::Record record;
  size_t data_offset = 0;
  const uint64_t size = wire::parse_record_head(*bytes, &record, &data_offset);
  if (size == 0) return std::nullopt;
  return Head{record.type, size};
}

absl::StatusOr<LogReader::Outcome> LogReader::torn_unless_durable() {
  absl::StatusOr<bool> durable = shown_durable();
  if (!durable.ok()) return durable.status();
  if (*durable) return damage("the record does not check out, and it was synced");
  return Outcome::kTorn;
}

// Whether something behind offset_ was written after a sync that came after the record there.
//
// A crash may leave any of the sectors written since the last sync, so whole and valid records
// behind a torn one prove nothing: they may be of the same batch. Two things do. We begin each
// batch with a sum when all before it is synced: a sum further on shows it. etcd writes no such
// sums; it saves entries, then a hard state, and syncs that before it saves more: an entry, then a
// hard state, then anything. (We sync several such saves at once, so this says nothing once a sum
// of ours was met.)
//
// The walk goes by length fields, or where one was lost with its sector, by the head in the next.
// After a crash these are true as far as they are there: nothing that a client stored is ever taken
// for a record.
absl::StatusOr<bool> LogReader::shown_durable() {
  bool entry = false;
  bool state = false;
  bool by_etcd = sums_ < 2;
  for (uint64_t at = offset_;;) {
    absl::StatusOr<uint64_t> record_size = size_of_frame(at);
    if (!record_size.ok()) return record_size.status();
    if (*record_size == 0 || *record_size > size_ - at) return false;
    if (by_etcd && entry && state) return true;

    const uint64_t start = at + kLengthFieldSize;
    absl::StatusOr<std::optional<Head>> head = head_in(start, start + wire::kMaxRecordOverhead);
    if (!head.ok()) return head.status();
    const bool whole = *head && (*head)->record_size == *record_size;
    const bool is_sum = whole && (*head)->type == wire::RecordType::kCrc;
    if (is_sum && at != offset_) return true;
    if (is_sum) by_etcd = false;
    if (whole && (*head)->type == wire::RecordType::kEntry) entry = true;
    if (whole && (*head)->type == wire::RecordType::kState) state = entry;
    at = start + *record_size + padding_of(*record_size);
  }
}

// The size of the record whose frame begins at `at`; 0 when nothing says that there is one.
absl::StatusOr<uint64_t> LogReader::size_of_frame(uint64_t at) {
  absl::StatusOr<std::string_view> bytes = view(at, kLengthFieldSize);
  if (!bytes.ok()) return bytes.status();
  if (bytes->size() != kLengthFieldSize) return uint64_t{0};
  const uint64_t field = load_length_field(bytes->data());
  if (field != 0) return decode_length_field(field).value_or(0);
  const uint64_t start = at + kLengthFieldSize;
  if (start % kSectorSize != 0) return uint64_t{0};
  absl::StatusOr<std::optional<Head>> head = head_in(start, start + wire::kMaxRecordOverhead);
  if (!head.ok()) return head.status();
  return *head ? (*head)->record_size : 0;
}

// Whether one of the sectors that [from, to) touches was never written: all zero, or past the end
// of the file. `from` is the start of a sector.
absl::StatusOr<bool> LogReader::lacks_sector(uint64_t from, uint64_t to) {
  if (to > size_) return true;
  for (uint64_t sector = from; sector < to; sector += kSectorSize) {
    absl::StatusOr<bool> zero = all_zero(sector, std::min(sector + kSectorSize, size_));
    if (!zero.ok() || *zero) return zero;
  }
  return false;
}

absl::StatusOr<bool> LogReader::rubbish_follows() {
  absl::StatusOr<bool> zero = all_zero(offset_, size_);
  if (!zero.ok()) return zero.status();
  return !*zero;
}

absl::StatusOr<bool> LogReader::all_zero(uint64_t from, uint64_t to) {
  while (from < to) {
    absl::StatusOr<std::string_view> bytes =
        view(from, std::min(to - from, BlockWindow::kBlockSize));
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) break;
    if (!is_zero(*bytes)) return false;
    from += bytes->size();
  }
  return true;
}

}  // namespace keelson::wal
