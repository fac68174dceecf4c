#include "backend/rocks/head_file.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "base/text.h"
#include "rocksdb/env.h"

namespace keelson::backend::rocks {
namespace {

constexpr std::string_view kMagic = "KLHEADS1";
constexpr size_t kBuffer = 256 << 10;
// Larger than any head file of a table of ours; what claims more is not one.
constexpr uint64_t kMostBytes = uint64_t{1} << 30;

enum Kind : char { kPut = 'p', kDelete = 'd' };

void put_varint(std::string* out, uint64_t v) {
  for (; v >= 0x80; v >>= 7) out->push_back(static_cast<char>(v | 0x80));
  out->push_back(static_cast<char>(v));
}

bool take_varint(std::string_view* in, uint64_t* v) {
  *v = 0;
  for (int shift = 0; shift < 64 && !in->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(in->front());
    in->remove_prefix(1);
    *v |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool take_bytes(std::string_view* in, std::string_view* bytes) {
  uint64_t size = 0;
  if (!take_varint(in, &size) || size > in->size()) return false;
  *bytes = in->substr(0, size);
  in->remove_prefix(size);
  return true;
}

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
  if (words.size() != 4 || words[0].empty() || words[0].find('/') != std::string_view::npos) {
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
  const std::string path = cat(directory_, "/", id_.name);
  if (!files_->NewWritableFile(path, {}, &file_, nullptr).ok()) return fail();
  buffer_ = kMagic;
}

void HeadFileWriter::add(const HeadRow& row) {
  if (!failed_ && !file_) open();
  if (failed_) return;
  buffer_.push_back(row.deletion ? kDelete : kPut);
  put_varint(&buffer_, row.sequence);
  put_varint(&buffer_, row.key.size());
  buffer_.append(row.key);
  if (!row.deletion) {
    put_varint(&buffer_, row.head.size());
    buffer_.append(row.head);
  }
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
  loaded.left_ = {loaded.memory_.get(), have};
  if (have != id.bytes || crc32c::extend(0, loaded.left_) != id.crc) return std::nullopt;
  if (!loaded.left_.starts_with(kMagic)) return std::nullopt;
  loaded.left_.remove_prefix(kMagic.size());
  return loaded;
}

HeadFile::Next HeadFile::next(HeadRow* row) {
  if (left_.empty()) return Next::kEnd;
  const char kind = left_.front();
  left_.remove_prefix(1);
  row->deletion = kind == kDelete;
  row->head = {};
  const bool whole = (kind == kPut || kind == kDelete) && take_varint(&left_, &row->sequence) &&
                     take_bytes(&left_, &row->key) &&
                     (row->deletion || take_bytes(&left_, &row->head));
  return whole ? Next::kRow : Next::kDamaged;
}

}  // namespace keelson::backend::rocks
