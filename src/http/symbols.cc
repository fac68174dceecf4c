#include "http/symbols.h"

#include <cxxabi.h>
#include <elf.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

namespace keelson::http {
namespace {

// "7f00-7f10 r-xp 00001000 08:01 123   /lib/x.so"
bool parse_mapping(const std::string& line, Symbols::Mapping* mapping) {
  std::istringstream fields(line);
  std::string range, access, offset, device, inode;
  if (!(fields >> range >> access >> offset >> device >> inode)) return false;
  if (access.find('x') == access.npos) return false;
  std::getline(fields >> std::ws, mapping->file);
  const size_t dash = range.find('-');
  if (dash == range.npos) return false;
  const auto hex = [](std::string_view text, uint64_t* out) {
    return std::from_chars(text.data(), text.data() + text.size(), *out, 16).ec == std::errc();
  };
  const std::string_view view = range;
  return hex(view.substr(0, dash), &mapping->start) &&
         hex(view.substr(dash + 1), &mapping->limit) && hex(offset, &mapping->offset);
}

}  // namespace

// The functions that an ELF file names.
class Symbols::File {
 public:
  explicit File(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (in) read(in);
    std::sort(functions_.begin(), functions_.end(),
              [](const Function& a, const Function& b) { return a.address < b.address; });
  }

  std::string name_at(uint64_t offset) const {
    uint64_t address = 0;
    if (!to_address(offset, &address)) return {};
    auto after =
        std::upper_bound(functions_.begin(), functions_.end(), address,
                         [](uint64_t wanted, const Function& one) { return wanted < one.address; });
    if (after == functions_.begin()) return {};
    const Function& found = *--after;
    return address < found.address + std::max<uint64_t>(found.size, 1) ? found.name : "";
  }

 private:
  struct Function {
    uint64_t address, size;
    std::string name;
  };
  struct Segment {
    uint64_t offset, size, address;
  };

  template <typename Record>
  static std::vector<Record> records(std::ifstream& in, uint64_t at, uint64_t bytes) {
    // A table beyond this is none.
    constexpr uint64_t kMost = uint64_t{256} << 20;
    std::vector<Record> out;
    if (bytes > kMost) return out;
    out.resize(bytes / sizeof(Record));
    in.clear();
    in.seekg(static_cast<std::streamoff>(at));
    in.read(reinterpret_cast<char*>(out.data()),
            static_cast<std::streamsize>(out.size() * sizeof(Record)));
    if (!in) out.clear();
    return out;
  }

  // The full table of symbols if the file has it, else the one of what it exports.
  void read(std::ifstream& in) {
    const auto heads = records<Elf64_Ehdr>(in, 0, sizeof(Elf64_Ehdr));
    if (heads.empty() || std::memcmp(heads[0].e_ident, ELFMAG, SELFMAG) != 0) return;
    const Elf64_Ehdr& head = heads[0];
    if (head.e_ident[EI_CLASS] != ELFCLASS64) return;
    for (const Elf64_Phdr& p :
         records<Elf64_Phdr>(in, head.e_phoff, uint64_t{head.e_phnum} * sizeof(Elf64_Phdr))) {
      if (p.p_type == PT_LOAD) segments_.push_back({p.p_offset, p.p_filesz, p.p_vaddr});
    }
    const auto sections =
        records<Elf64_Shdr>(in, head.e_shoff, uint64_t{head.e_shnum} * sizeof(Elf64_Shdr));
    for (uint32_t type : {SHT_SYMTAB, SHT_DYNSYM}) {
      for (const Elf64_Shdr& section : sections) {
        if (section.sh_type == type && section.sh_link < sections.size()) {
          take(in, section, sections[section.sh_link]);
        }
      }
      if (!functions_.empty()) return;
    }
  }

  void take(std::ifstream& in, const Elf64_Shdr& table, const Elf64_Shdr& texts) {
    const std::vector<char> names = records<char>(in, texts.sh_offset, texts.sh_size);
    for (const Elf64_Sym& symbol : records<Elf64_Sym>(in, table.sh_offset, table.sh_size)) {
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
      if (symbol.st_name >= names.size()) continue;
      const char* name = names.data() + symbol.st_name;
      functions_.push_back({symbol.st_value, symbol.st_size,
                            std::string(name, strnlen(name, names.size() - symbol.st_name))});
    }
  }

  bool to_address(uint64_t offset, uint64_t* address) const {
    for (const Segment& segment : segments_) {
      if (offset < segment.offset || offset - segment.offset >= segment.size) continue;
      *address = segment.address + (offset - segment.offset);
      return true;
    }
    return false;
  }

  std::vector<Segment> segments_;
  std::vector<Function> functions_;
};

Symbols::Symbols() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Mapping mapping;
    if (parse_mapping(line, &mapping)) mappings_.push_back(std::move(mapping));
  }
}

Symbols::~Symbols() = default;

size_t Symbols::mapping_of(uint64_t address) const {
  auto after =
      std::upper_bound(mappings_.begin(), mappings_.end(), address,
                       [](uint64_t wanted, const Mapping& one) { return wanted < one.start; });
  if (after == mappings_.begin() || address >= std::prev(after)->limit) return SIZE_MAX;
  return static_cast<size_t>(std::prev(after) - mappings_.begin());
}

std::string Symbols::name_of(uint64_t address) {
  const size_t at = mapping_of(address);
  if (at == SIZE_MAX || !mappings_[at].file.starts_with('/')) return {};
  const Mapping& mapping = mappings_[at];
  std::unique_ptr<File>& file = files_[mapping.file];
  if (!file) file = std::make_unique<File>(mapping.file);
  return file->name_at(address - mapping.start + mapping.offset);
}

std::string demangled(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  std::string out = status == 0 && text != nullptr ? text : name;
  std::free(text);
  return out;
}

}  // namespace keelson::http
