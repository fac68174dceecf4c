#include "http/stack_profile.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "http/gzip.h"
#include "http/symbols.h"
#include "proto/profile.pb.h"

namespace keelson::http {
namespace {

namespace pb = perftools::profiles;

class Writer {
 public:
  Writer() {
    text("");
    for (const Symbols::Mapping& mapping : symbols_.mappings()) {
      pb::Mapping* out = profile_.add_mapping();
      out->set_id(static_cast<uint64_t>(profile_.mapping_size()));
      out->set_memory_start(mapping.start);
      out->set_memory_limit(mapping.limit);
      out->set_file_offset(mapping.offset);
      out->set_filename(text(mapping.file));
      out->set_has_functions(true);
    }
  }

  pb::Profile& profile() { return profile_; }

  int64_t text(const std::string& wanted) {
    auto [found, is_new] = texts_.try_emplace(wanted, profile_.string_table_size());
    if (is_new) profile_.add_string_table(wanted);
    return found->second;
  }

  void set_kind(pb::ValueType* out, const StackProfile::Kind& kind) {
    out->set_type(text(std::string(kind.type)));
    out->set_unit(text(std::string(kind.unit)));
  }

  uint64_t named_location(const std::string& name) {
    pb::Location* out = profile_.add_location();
    out->set_id(static_cast<uint64_t>(profile_.location_size()));
    out->add_line()->set_function_id(function(name));
    return out->id();
  }

  uint64_t location(uint64_t address) {
    auto [found, is_new] = locations_.try_emplace(address, profile_.location_size() + 1);
    if (!is_new) return found->second;
    pb::Location* out = profile_.add_location();
    out->set_id(found->second);
    out->set_address(address);
    const size_t mapping = symbols_.mapping_of(address);
    if (mapping != SIZE_MAX) out->set_mapping_id(mapping + 1);
    const std::string name = symbols_.name_of(address);
    if (!name.empty()) out->add_line()->set_function_id(function(name));
    return found->second;
  }

 private:
  uint64_t function(const std::string& name) {
    auto [found, is_new] = functions_.try_emplace(name, functions_.size() + 1);
    if (is_new) {
      pb::Function* out = profile_.add_function();
      out->set_id(found->second);
      out->set_name(text(demangled(name)));
      out->set_system_name(text(name));
    }
    return found->second;
  }

  Symbols symbols_;
  pb::Profile profile_;
  std::map<std::string, int64_t> texts_;
  std::map<uint64_t, uint64_t> locations_;
  std::map<std::string, uint64_t> functions_;
};

// "2", or of memory "2: 4096 [0: 0]".
std::string counts_text(const std::vector<int64_t>& values) {
  if (values.size() == 1) return cat(values[0]);
  return cat(values[0], ": ", values[1], " [0: 0]");
}

}  // namespace

void StackProfile::sum_up(Values& sum, std::span<const int64_t> values) const {
  CHECK(values.size() == facts_.counted.size());
  sum.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
}

void StackProfile::add_named(const std::string& name, std::span<const int64_t> values) {
  sum_up(named_[name], values);
}

void StackProfile::add(std::span<const uint64_t> stack, std::span<const int64_t> values) {
  std::vector<uint64_t> addresses(stack.begin(), stack.end());
  // The call, not what comes after it.
  for (size_t i = 1; i < addresses.size(); ++i) --addresses[i];
  sum_up(samples_[std::move(addresses)], values);
}

std::string StackProfile::encode() const {
  Writer writer;
  pb::Profile& profile = writer.profile();
  for (const Kind& kind : facts_.counted) writer.set_kind(profile.add_sample_type(), kind);
  for (const auto& [stack, values] : samples_) {
    pb::Sample* sample = profile.add_sample();
    for (uint64_t address : stack) sample->add_location_id(writer.location(address));
    for (int64_t value : values) sample->add_value(value);
  }
  for (const auto& [name, values] : named_) {
    pb::Sample* sample = profile.add_sample();
    sample->add_location_id(writer.named_location(name));
    for (int64_t value : values) sample->add_value(value);
  }
  writer.set_kind(profile.mutable_period_type(), facts_.period_type);
  profile.set_period(facts_.period);
  profile.set_time_nanos(facts_.began.count());
  profile.set_duration_nanos(facts_.lasted.count());
  if (!facts_.counted.empty()) {
    profile.set_default_sample_type(writer.text(std::string(facts_.counted.back().type)));
  }
  return gzip(profile.SerializeAsString());
}

std::string StackProfile::text(std::string_view name) const {
  Symbols symbols;
  Values total(facts_.counted.size());
  std::vector<std::pair<int64_t, std::string>> rows;
  for (const auto& [stack, values] : samples_) {
    sum_up(total, values);
    std::string row = cat(counts_text(values), " @");
    for (uint64_t address : stack) row += cat(" 0x", absl::Hex(address));
    row += '\n';
    for (uint64_t address : stack) {
      row += cat("#\t0x", absl::Hex(address), "\t", demangled(symbols.name_of(address)), "\n");
    }
    rows.emplace_back(values.back(), std::move(row));
  }
  for (const auto& [named, values] : named_) {
    sum_up(total, values);
    rows.emplace_back(values.back(), cat(counts_text(values), " @\n#\t", named, "\n"));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string out = total.size() == 1 ? cat(name, " profile: total ", total[0], "\n")
                                      : cat(name, " profile: ", counts_text(total), " @ ", name,
                                            "/", facts_.period, "\n");
  for (const auto& [size, row] : rows) out += cat(row, "\n");
  return out;
}

}  // namespace keelson::http
