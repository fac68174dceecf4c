#include "archive/catalogue_fuzz.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "archive/catalogue.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/wal.h"
#include "wire/wal_record.h"

#ifdef KEELSON_FUZZER
#include <cstdint>

#include "base/quiet_log.h"
#endif

namespace keelson::archive {
namespace {

constexpr char kDir[] = "archive";
constexpr size_t kSummed = 32;

std::string_view take(std::string_view& input, size_t most) {
  const std::string_view taken = input.substr(0, most);
  input.remove_prefix(taken.size());
  return taken;
}

// Eight bytes of it, or as many as there are.
uint64_t number_of(std::string_view bytes) {
  std::string whole(bytes.substr(0, 8));
  whole.insert(0, 8 - whole.size(), '\0');
  return load_big64(whole.data());
}

std::string with_sums(std::string_view records) {
  std::string out;
  while (records.size() >= kSummed) {
    const std::string_view record = take(records, kSummed);
    std::string sum(8, '\0');
    store_big64(sum.data(), crc32c::extend(0, record));
    out += cat(record, sum);
  }
  return out + std::string(records);
}

class Input {
 public:
  explicit Input(std::string_view input) {
    CHECK(fs_.create_dirs(kDir).ok());
    write(marker_path(kDir), kFormat);
    begin_stretch();
    while (input.size() >= 2) {
      const char what = input[0];
      const size_t size = static_cast<unsigned char>(input[1]);
      input.remove_prefix(2);
      add(what, take(input, size));
    }
    add('n', input);
  }

  // Written behind what is there, as a member does that goes on.
  void go_on() {
    for (uint64_t number = 1; number <= stretches_; ++number) {
      const std::string path = stretch_path(kDir, number);
      absl::StatusOr<std::unique_ptr<TimesWriter>> writer = TimesWriter::open(fs_, path, 200);
      if (!writer.ok()) continue;
      Moment next = (*writer)->last().value_or(Moment());
      if (next.index == Index(UINT64_MAX)) continue;
      next.index = next.index + 1;
      CHECK((*writer)->append(next).ok());
      // A damaged file stays as it is, and those before are not looked at.
      absl::StatusOr<std::vector<Moment>> all = read_times(fs_, path);
      if (!all.ok() || (*writer)->last() != next) continue;
      CHECK(all->back() == next);
    }
  }

  wal::FileSystem& fs() { return fs_; }
  const std::vector<Target>& targets() const { return targets_; }

 private:
  void write(const std::string& path, std::string_view content) {
    auto file = fs_.open(path, wal::OpenMode::kCreateEmpty);
    if (file.ok()) CHECK((*file)->pwrite(0, content).ok());
  }

  void begin_stretch() {
    ++stretches_;
    path_ = stretch_path(kDir, stretches_);
    CHECK(fs_.create_dirs(path_).ok());
    wal::Options options;
    options.fs = &fs_;
    options.segment_bytes = 4096;
    const wire::WalMetadata owner{MemberId(1), ClusterId(1 + stretches_ % 2)};
    absl::StatusOr<std::unique_ptr<wal::Wal>> log =
        wal::Wal::create(log_path(path_), wire::encode(owner), options);
    CHECK(log.ok());
    CHECK((*log)->close().ok());
  }

  void add(char what, std::string_view bytes) {
    switch (what) {
      case 't':
      case 'T': {
        const Index first(number_of(take(bytes, 2)));
        write(cat(path_, "/", times_name(first)), what == 't' ? with_sums(bytes) : bytes);
        return;
      }
      case 's': {
        const auto revision = static_cast<int64_t>(number_of(take(bytes, 8)) >> 1);
        const SnapshotName name{revision, Index(number_of(bytes))};
        CHECK(parse_snapshot_name(to_string(name)) == name);
        write(cat(path_, "/", to_string(name)), "");
        return;
      }
      case 'l':
        write(cat(log_path(path_), "/0000000000000000-0000000000000000.wal"), bytes);
        return;
      case 'd':
        if (stretches_ < 5) begin_stretch();
        return;
      case 'q': {
        const auto number = static_cast<int64_t>(number_of(take(bytes, 8)));
        std::optional<uint64_t> stretch;
        if (!bytes.empty()) stretch = static_cast<unsigned char>(bytes[0]);
        targets_.push_back({.revision = number, .unix_ms = {}, .stretch = stretch});
        targets_.push_back({.revision = {}, .unix_ms = number, .stretch = stretch});
        return;
      }
      default:
        if (!bytes.empty() && bytes.find('/') == std::string_view::npos && bytes != "log") {
          write(cat(path_, "/", bytes), "");
        }
    }
  }

  wal::MemoryFileSystem fs_;
  uint64_t stretches_ = 0;
  std::string path_;
  std::vector<Target> targets_;
};

void check_stretch(const StretchEntry& stretch) {
  const auto by_index = [](const auto& a, const auto& b) { return a.index < b.index; };
  CHECK(std::is_sorted(stretch.times.begin(), stretch.times.end(), by_index));
  CHECK(std::is_sorted(stretch.snapshots.begin(), stretch.snapshots.end(),
                       [](const auto& a, const auto& b) { return a.name.index < b.name.index; }));
  if (!stretch.is_usable()) return;
  CHECK(stretch.times.empty() || stretch.last() == stretch.times.back());
}

// A way to something begins at a snapshot of the stretch that is meant, and leads forward.
void check_route(const std::vector<StretchEntry>& catalogue, const Target& target) {
  const absl::StatusOr<Route> route = find_route(catalogue, target);
  if (!route.ok()) {
    CHECK(!message_of(route.status()).empty());
    return;
  }
  CHECK(!target.stretch || route->stretch == *target.stretch);
  const auto stretch = std::find_if(catalogue.begin(), catalogue.end(), [&](const auto& each) {
    return each.number == route->stretch;
  });
  CHECK(stretch != catalogue.end());
  CHECK(stretch->is_usable());
  CHECK(std::any_of(stretch->snapshots.begin(), stretch->snapshots.end(),
                    [&](const auto& snapshot) { return snapshot.name == route->snapshot; }));
  CHECK(route->revision == target.revision);
  CHECK(route->index.has_value() == target.unix_ms.has_value());
  if (route->revision) CHECK(route->snapshot.revision <= *route->revision);
  if (route->index) CHECK(route->snapshot.index <= *route->index);
}

void check_text(std::string_view text) {
  if (const std::optional<int64_t> time = parse_time(text)) {
    CHECK(parse_time(time_text(*time)) == *time);
  }
  if (const auto name = parse_snapshot_name(text)) CHECK(to_string(*name) == text);
  if (const auto first = parse_times_name(text)) CHECK(times_name(*first) == text);
  if (const auto number = parse_stretch_name(text)) CHECK(stretch_name(*number) == text);
}

}  // namespace

void fuzz_catalogue(std::string_view bytes) {
  check_text(bytes);
  Input input(bytes);
  const absl::StatusOr<std::vector<StretchEntry>> catalogue = read_catalogue(input.fs(), kDir);
  if (catalogue.ok()) {
    for (const StretchEntry& stretch : *catalogue) check_stretch(stretch);
    for (const Target& target : input.targets()) check_route(*catalogue, target);
  }
  input.go_on();
}

}  // namespace keelson::archive

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const keelson::log::QuietLog quiet;
  keelson::archive::fuzz_catalogue({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
