#include "cubin.hpp"

#include <elf.h>

#include <cstdint>
#include <cstring>

namespace {
const std::string info = ".nv.info.", shared = ".nv.shared.", text = ".text.";

bool starts(const std::string& name, const std::string& with) { return name.rfind(with, 0) == 0; }

// The attributes of a kernel: a byte of form, a byte of kind, and two bytes that are a size where
// the form has a value. The one of kind 0x17 is a parameter's ordinal, offset and size.
std::vector<Parameter> read_parameters(const unsigned char* at, size_t size) {
  constexpr unsigned char with_value = 4, parameter = 0x17;
  std::map<unsigned, Parameter> found;
  for (const unsigned char* end = at + size; at + 4 <= end;) {
    uint16_t length = 0, ordinal = 0, offset = 0;
    uint32_t packed = 0;
    memcpy(&length, at + 2, 2);
    if (at[0] == with_value && at[1] == parameter) {
      memcpy(&ordinal, at + 8, 2);
      memcpy(&offset, at + 10, 2);
      memcpy(&packed, at + 12, 4);
      found[ordinal] = {offset, packed >> 18};
    }
    at += 4 + (at[0] == with_value ? length : 0);
  }
  std::vector<Parameter> parameters;
  for (auto& [number, each] : found) parameters.push_back(each);
  return parameters;
}
}  // namespace

bool read_cubin(const void* image, Cubin& cubin) {
  auto* bytes = static_cast<const unsigned char*>(image);
  Elf64_Ehdr header;
  memcpy(&header, bytes, sizeof header);
  constexpr int cuda = 190;
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_machine != cuda) return false;
  cubin.architecture = int(header.e_flags >> 8 & 0xff);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  memcpy(sections.data(), bytes + header.e_shoff, sections.size() * sizeof(Elf64_Shdr));
  auto* names = reinterpret_cast<const char*>(bytes + sections[header.e_shstrndx].sh_offset);
  for (auto& section : sections) {
    std::string name = names + section.sh_name;
    if (starts(name, info))
      cubin.kernels[name.substr(info.size())].parameters =
          read_parameters(bytes + section.sh_offset, section.sh_size);
  }
  for (auto& section : sections) {
    std::string name = names + section.sh_name;
    if (!starts(name, shared)) continue;
    auto found = cubin.kernels.find(name.substr(shared.size()));
    if (found != cubin.kernels.end()) found->second.shared_bytes = section.sh_size;
  }
  return true;
}
