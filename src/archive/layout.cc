#include "archive/layout.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace keelson::archive {
namespace {

constexpr std::string_view kSnapshotEnding = ".db";
constexpr std::string_view kTimesEnding = ".times";

std::string padded(uint64_t number) { return cat(absl::Dec(number, absl::kZeroPad12)); }

// As padded() writes it, or longer.
std::optional<uint64_t> parse_number(std::string_view text, size_t least_digits) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || end != text.end() || text.size() < least_digits) return std::nullopt;
  if (text.size() > least_digits && text.front() == '0') return std::nullopt;
  return number;
}

constexpr size_t kDigits = 12;
constexpr size_t kStretchDigits = 6;

}  // namespace

std::string stretch_name(uint64_t number) { return cat(absl::Dec(number, absl::kZeroPad6)); }

std::optional<uint64_t> parse_stretch_name(std::string_view name) {
  return parse_number(name, kStretchDigits);
}

std::string to_string(const SnapshotName& name) {
  return cat(padded(static_cast<uint64_t>(name.revision)), "-", padded(name.index.value),
             kSnapshotEnding);
}

std::optional<SnapshotName> parse_snapshot_name(std::string_view name) {
  if (!name.ends_with(kSnapshotEnding)) return std::nullopt;
  name.remove_suffix(kSnapshotEnding.size());
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::optional<uint64_t> revision = parse_number(name.substr(0, dash), kDigits);
  const std::optional<uint64_t> index = parse_number(name.substr(dash + 1), kDigits);
  if (!revision || !index || *revision > INT64_MAX) return std::nullopt;
  return SnapshotName{static_cast<int64_t>(*revision), Index(*index)};
}

std::string times_name(Index first) { return cat(padded(first.value), kTimesEnding); }

std::optional<Index> parse_times_name(std::string_view name) {
  if (!name.ends_with(kTimesEnding)) return std::nullopt;
  name.remove_suffix(kTimesEnding.size());
  const std::optional<uint64_t> index = parse_number(name, kDigits);
  if (!index) return std::nullopt;
  return Index(*index);
}

absl::StatusOr<StretchFiles> list_stretch(wal::FileSystem& fs, const std::string& stretch) {
  StretchFiles found;
  absl::StatusOr<std::vector<std::string>> names = fs.list(stretch);
  if (absl::IsNotFound(names.status())) return found;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (std::optional<SnapshotName> snapshot = parse_snapshot_name(name)) {
      found.snapshots.push_back(*snapshot);
    } else if (std::optional<Index> times = parse_times_name(name)) {
      found.times.push_back(*times);
    } else if (name.ends_with(kUnfinished)) {
      found.unfinished.push_back(name);
    }
  }
  std::sort(found.snapshots.begin(), found.snapshots.end(),
            [](const SnapshotName& a, const SnapshotName& b) { return a.index < b.index; });
  std::sort(found.times.begin(), found.times.end());
  return found;
}

absl::StatusOr<std::vector<uint64_t>> list_stretches(wal::FileSystem& fs,
                                                     const std::string& archive) {
  absl::StatusOr<std::vector<std::string>> names = fs.list(archive);
  if (!names.ok()) return names.status();
  std::vector<uint64_t> numbers;
  for (const std::string& name : *names) {
    if (std::optional<uint64_t> number = parse_stretch_name(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

}  // namespace keelson::archive
