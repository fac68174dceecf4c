#include "wal/log_reader.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/text.h"
#include "wal/framing.h"

namespace keelson::wal {

namespace {

// Entries share these blocks, so one must not be much larger than what is likely kept of it.
constexpr uint64_t kBlockSize = 256 << 10;

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
  records_ = 0;
  block_ = Bytes();
  block_start_ = 0;
  opened_ = true;
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
    ++records_;
    if (record->type != wire::RecordType::kCrc) return Outcome::kRecord;
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
  return Outcome::kEnd;
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
    // The sum stood in the synced head of this segment; the one before it is complete.
    if (is_sum) return damage("the sum does not continue the segment before");
    return false;
  }
  if (!is_zero(frame->substr(kLengthFieldSize + record_size))) return damage("padding not zero");
  absl::Status order = check_order(parsed->type);
  if (!order.ok()) return order;

  chain_ = sum;
  *record = Record{parsed->type, parsed->data, block_};
  return true;
}

// The sum does not cover a record's type: a segment's head and only that has these two types.
absl::Status LogReader::check_order(wire::RecordType type) {
  const bool first = type == wire::RecordType::kCrc;
  const bool second = type == wire::RecordType::kMetadata;
  if (first != (records_ == 0)) return damage("a segment begins with its sum, once");
  if (second != (records_ == 1)) return damage("a segment's metadata follows its sum, once");
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
  absl::StatusOr<uint64_t> inner_size = size_in_head(start, std::min(head_end, sector_end));
  if (inner_size.ok() && *inner_size == 0) {
    absl::StatusOr<bool> lacks = lacks_sector(sector_end, head_end);
    if (!lacks.ok()) return lacks.status();
    if (*lacks) return Outcome::kTorn;
    inner_size = size_in_head(start, head_end);
  }
  if (!inner_size.ok()) return inner_size.status();
  if (*inner_size != record_size) return damage("the record contradicts its length");

  absl::StatusOr<bool> lacks =
      lacks_sector(sector_end, start + record_size + padding_of(record_size));
  if (!lacks.ok()) return lacks.status();
  if (*lacks) return Outcome::kTorn;
  return damage("the record does not check out");
}

// The size of a record as its head in [start, end) says it; 0 when that cannot be read.
absl::StatusOr<uint64_t> LogReader::size_in_head(uint64_t start, uint64_t end) {
  if (start >= end) return uint64_t{0};
  absl::StatusOr<std::string_view> head = view(start, end - start);
  if (!head.ok()) return head.status();
  wire::Record record;
  size_t data_offset = 0;
  return uint64_t{wire::parse_record_head(*head, &record, &data_offset)};
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
    absl::StatusOr<std::string_view> bytes = view(from, std::min(to - from, kBlockSize));
    if (!bytes.ok()) return bytes.status();
    if (bytes->empty()) break;
    if (!is_zero(*bytes)) return false;
    from += bytes->size();
  }
  return true;
}

absl::StatusOr<std::string_view> LogReader::view(uint64_t from, uint64_t size) {
  if (from >= size_) return std::string_view();
  size = std::min(size, size_ - from);
  const uint64_t block_end = block_start_ + block_.size();
  if (from < block_start_ || from + size > block_end) {
    const uint64_t wanted = std::min(std::max(size, kBlockSize), size_ - from);
    absl::StatusOr<size_t> got = size_t{0};
    Bytes block =
        Bytes::build(wanted, [&](char* out) { got = segment().file->pread(from, out, wanted); });
    if (!got.ok()) return got.status();
    block_ = block.slice(0, *got);
    block_start_ = from;
  }
  std::string_view all = block_.view();
  return all.substr(std::min<uint64_t>(from - block_start_, all.size()), size);
}

}  // namespace keelson::wal
