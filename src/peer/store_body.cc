#include "peer/store_body.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/text.h"

namespace keelson::peer {

namespace {

constexpr std::string_view kHeads = "heads/";
constexpr size_t kMaxName = 128;
static_assert(kMaxName <= UINT8_MAX);

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_plain(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}
bool all(std::string_view text, bool (*is)(char)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is);
}

// As RocksDB writes the number of a file: six digits, or more where it needs them; from 1 on. It
// counts on from the largest, so that one has to be far from the end.
bool is_file_number(std::string_view text) {
  constexpr size_t kDigits = 6, kMost = 15;
  if (text.size() < kDigits || text.size() > kMost || !all(text, is_digit)) return false;
  if (text.size() > kDigits) return text.front() != '0';
  return text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

bool is_store_file_name(std::string_view name) {
  if (name.size() > kMaxName) return false;
  if (name == "CURRENT") return true;
  if (name.starts_with(kHeads)) {
    name.remove_prefix(kHeads.size());
    constexpr std::string_view kEnding = ".heads";
    return name.ends_with(kEnding) && all(name.substr(0, name.size() - kEnding.size()), is_plain);
  }
  constexpr std::string_view kManifest = "MANIFEST-", kTable = ".sst";
  if (name.starts_with(kManifest)) return is_file_number(name.substr(kManifest.size()));
  return name.ends_with(kTable) && is_file_number(name.substr(0, name.size() - kTable.size()));
}

std::string store_file_head(const StoreFile& file) {
  CHECK(is_store_file_name(file.name));
  std::string head;
  head.push_back(static_cast<char>(file.name.size()));
  return head + file.name + big64(file.size);
}

std::string store_file_tail(uint32_t crc) { return big32(crc); }

std::string store_files_end() { return std::string(1, '\0'); }

bool StoreFilesDecoder::gather(std::string_view* bytes, size_t size) {
  CHECK(field_.size() < size);
  const size_t taken = std::min(size - field_.size(), bytes->size());
  field_.append(bytes->substr(0, taken));
  bytes->remove_prefix(taken);
  return field_.size() == size;
}

absl::Status StoreFilesDecoder::take(std::string_view bytes) {
  while (error_.ok() && !bytes.empty()) error_ = step(&bytes);
  return error_;
}

absl::Status StoreFilesDecoder::step(std::string_view* bytes) {
  switch (at_) {
    case At::kNameSize:
      name_size_ = static_cast<uint8_t>(bytes->front());
      bytes->remove_prefix(1);
      at_ = name_size_ == 0 ? At::kEnd : At::kName;
      return absl::OkStatus();
    case At::kName:
      if (gather(bytes, name_size_)) {
        file_.name = std::exchange(field_, {});
        at_ = At::kSize;
      }
      return absl::OkStatus();
    case At::kSize:
      if (!gather(bytes, 8)) return absl::OkStatus();
      file_.size = load_big64(field_.data());
      field_.clear();
      return begin();
    case At::kBytes: {
      const std::string_view piece = bytes->substr(0, left_);
      bytes->remove_prefix(piece.size());
      crc_ = crc32c::extend(crc_, piece);
      left_ -= piece.size();
      if (left_ == 0) at_ = At::kSum;
      return sink_.file_bytes(piece);
    }
    case At::kSum:
      if (!gather(bytes, 4)) return absl::OkStatus();
      return end();
    case At::kEnd:
      break;
  }
  return absl::InvalidArgumentError("something follows the last file");
}

absl::Status StoreFilesDecoder::begin() {
  if (!is_store_file_name(file_.name))
    return absl::InvalidArgumentError("no name of a store's file");
  if (names_.size() == kMaxStoreFiles) return absl::InvalidArgumentError("too many files");
  if (!names_.insert(file_.name).second) return absl::InvalidArgumentError("a file comes twice");
  crc_ = 0;
  left_ = file_.size;
  at_ = left_ == 0 ? At::kSum : At::kBytes;
  return sink_.begin_file(file_);
}

absl::Status StoreFilesDecoder::end() {
  const uint32_t said = load_big32(field_.data());
  field_.clear();
  at_ = At::kNameSize;
  if (said != crc_) {
    return absl::DataLossError(cat("the bytes of ", file_.name, " are not those that were sent"));
  }
  return sink_.end_file();
}

absl::Status StoreFilesDecoder::finish() {
  if (!error_.ok()) return error_;
  if (at_ != At::kEnd) error_ = absl::InvalidArgumentError("unexpected EOF");
  if (error_.ok() && names_.empty()) error_ = absl::InvalidArgumentError("no files follow");
  return error_;
}

}  // namespace keelson::peer
