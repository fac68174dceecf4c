#include "backend/rocks/head_file.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "base/protobuf.h"
#include "base/text.h"
#include "rocksdb/env.h"

namespace keelson::backend::rocks {
namespace {

constexpr std::string_view kMagic = "KLHEADS1";
constexpr size_t kBuffer = 256 << 10;
// Larger than any head file of a table of ours; what claims more is not one.
constexpr uint64_t kMostBytes = uint64_t{1} << 30;

// The file: kMagic, then fields of the one type or the other, each a row (docs/formats/heads.md).
enum RowType : uint32_t { kRecord = 1, kDeletion = 2 };
enum RowField : uint32_t { kKey = 1, kSequence = 2, kHead = 3 };

template <typename T>
bool to_number(std::string_view text, T* number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string HeadFileId::text() const { return cat(name, " ", version, " ", bytes, " ", crc); }

std::optional<HeadFileId> HeadFileId::parse(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t space = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, space - at));
    at = space + 1;
  }
  HeadFileId id;
  if (words.size() != 4 || !words[0].ends_with(HeadFileId::kEnding) ||
      words[0].find('/') != std::string_view::npos) {
    return std::nullopt;
  }
  id.name = words[0];
  if (!to_number(words[1], &id.version) || !to_number(words[2], &id.bytes) ||
      !to_number(words[3], &id.crc) || id.bytes > kMostBytes) {
    return std::nullopt;
  }
  return id;
}

HeadFileWriter::~HeadFileWriter() { fail(); }

void HeadFileWriter::open() {
  // A name of its own for good: a table may be read long after another took its number.
  id_.name = rocksdb::Env::Default()->GenerateUniqueId();
  while (!id_.name.empty() && id_.name.back() == '\n') id_.name.pop_back();
  id_.name += HeadFileId::kEnding;
  const std::string path = cat(directory_, "/", id_.name);
  if (!files_->NewWritableFile(path, {}, &file_, nullptr).ok()) return fail();
  buffer_ = kMagic;
}

void HeadFileWriter::add(const HeadRow& row) {
  if (!failed_ && !file_) open();
  if (failed_) return;
  const size_t size = pb::bytes_field_size(kKey, row.key.size()) +
                      pb::varint_field_size(kSequence, row.sequence) +
                      (row.deletion ? 0 : pb::bytes_field_size(kHead, row.head.size()));
  pb::append_bytes_head(buffer_, row.deletion ? kDeletion : kRecord, size);
  pb::append_bytes_field(buffer_, kKey, row.key);
  pb::append_varint_field(buffer_, kSequence, row.sequence);
  if (!row.deletion) pb::append_bytes_field(buffer_, kHead, row.head);
  if (buffer_.size() >= kBuffer) write_out();
}

void HeadFileWriter::write_out() {
  id_.bytes += buffer_.size();
  id_.crc = crc32c::extend(id_.crc, buffer_);
  if (id_.bytes > kMostBytes || !file_->Append(buffer_, {}, nullptr).ok()) return fail();
  buffer_.clear();
}

void HeadFileWriter::fail() {
  failed_ = true;
  if (!file_) return;
  file_->Close({}, nullptr).PermitUncheckedError();
  file_.reset();
  // Should it stay, the next open removes it.
  files_->DeleteFile(cat(directory_, "/", id_.name), {}, nullptr).PermitUncheckedError();
}

std::optional<HeadFileId> HeadFileWriter::finish(uint32_t version) {
  if (!file_) return std::nullopt;
  write_out();
  if (failed_) return std::nullopt;
  if (!file_->Close({}, nullptr).ok()) {
    fail();
    return std::nullopt;
  }
  file_.reset();
  id_.version = version;
  return id_;
}

std::optional<HeadFile> HeadFile::load(rocksdb::FileSystem& files, const std::string& directory,
                                       const HeadFileId& id) {
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  if (!files.NewSequentialFile(cat(directory, "/", id.name), {}, &file, nullptr).ok()) {
    return std::nullopt;
  }
  HeadFile loaded;
  loaded.memory_ = std::make_unique_for_overwrite<char[]>(id.bytes);
  uint64_t have = 0;
  while (have < id.bytes) {
    rocksdb::Slice piece;
    char* to = loaded.memory_.get() + have;
    if (!file->Read(id.bytes - have, {}, &piece, to, nullptr).ok() || piece.empty()) break;
    if (piece.data() != to) std::memmove(to, piece.data(), piece.size());
    have += piece.size();
  }
  std::string_view bytes(loaded.memory_.get(), have);
  if (have != id.bytes || crc32c::extend(0, bytes) != id.crc) return std::nullopt;
  if (!bytes.starts_with(kMagic)) return std::nullopt;
  bytes.remove_prefix(kMagic.size());
  loaded.rows_ = pb::Reader(bytes);
  return loaded;
}

HeadFile::Next HeadFile::next(HeadRow* row) {
  pb::Field field;
  if (!rows_.next(&field)) return rows_.ok() ? Next::kEnd : Next::kDamaged;
  *row = {.deletion = field.number == kDeletion};
  if (!field.is(row->deletion ? kDeletion : kRecord, pb::kBytes)) return Next::kDamaged;
  pb::Reader reader(field.bytes);
  while (reader.next(&field)) {
    if (field.is(kKey, pb::kBytes)) row->key = field.bytes;
    if (field.is(kSequence, pb::kVarint)) row->sequence = field.value;
    if (field.is(kHead, pb::kBytes)) row->head = field.bytes;
  }
  return reader.ok() ? Next::kRow : Next::kDamaged;
}

}  // namespace keelson::backend::rocks
