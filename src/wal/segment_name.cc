#include "wal/segment_name.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/text.h"

namespace keelson::wal {

namespace {

constexpr size_t kDigits = 16;
constexpr std::string_view kSuffix = ".wal";

bool parse_hex(std::string_view text, uint64_t* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, 16);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string to_string(SegmentName name) {
  char text[2 * kDigits + 6];
  std::snprintf(text, sizeof(text), "%016lx-%016lx.wal", name.sequence, name.first_index.value);
  return text;
}

std::optional<SegmentName> parse_segment_name(std::string_view file) {
  if (file.size() != 2 * kDigits + 1 + kSuffix.size()) return std::nullopt;
  if (file[kDigits] != '-' || !file.ends_with(kSuffix)) return std::nullopt;
  SegmentName name;
  uint64_t index = 0;
  if (!parse_hex(file.substr(0, kDigits), &name.sequence)) return std::nullopt;
  if (!parse_hex(file.substr(kDigits + 1, kDigits), &index)) return std::nullopt;
  name.first_index = Index(index);
  return name;
}

absl::StatusOr<std::vector<SegmentName>> list_segments(FileSystem& fs, const std::string& dir) {
  absl::StatusOr<std::vector<std::string>> files = fs.list(dir);
  if (!files.ok()) return files.status();
  std::vector<SegmentName> names;
  for (const std::string& file : *files) {
    if (std::optional<SegmentName> name = parse_segment_name(file)) names.push_back(*name);
  }
  if (names.empty()) return absl::NotFoundError(to_absl(cat("wal: no segment in ", dir)));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::vector<SegmentName>> select_segments(std::vector<SegmentName> names,
                                                         Index index) {
  auto after = std::find_if(names.rbegin(), names.rend(),
                            [&](const SegmentName& name) { return name.first_index <= index; });
  if (after == names.rend()) {
    return absl::NotFoundError(
        to_absl(cat("wal: file not found which matches the snapshot index '", index.value, "'")));
  }
  names.erase(names.begin(), std::prev(after.base()));
  for (size_t i = 1; i < names.size(); ++i) {
    if (names[i].sequence == names[i - 1].sequence + 1) continue;
    return absl::DataLossError(to_absl(
        cat("wal: a segment is missing between ", to_string(names[i - 1]), " and ",
            to_string(names[i]), "; put it back, or restore the data directory from a backup")));
  }
  return names;
}

}  // namespace keelson::wal
