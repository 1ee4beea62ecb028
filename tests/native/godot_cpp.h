// As much of godot-cpp as examples/godot needs to compile; none of it does anything.
#pragma once

#include <cstdint>
#include <vector>

#define GDE_EXPORT
using GDExtensionBool = std::uint8_t;
using GDExtensionInterfaceGetProcAddress = void* (*)(const char*);
using GDExtensionClassLibraryPtr = void*;
struct GDExtensionInitialization;

namespace godot {

class CharString {
 public:
  const char* get_data() const;
};

class String {
 public:
  String(const char* text = "");
  static String utf8(const char* text, int length = -1);
  CharString utf8() const;
  String operator+(const String& other) const;
};

class NodePath {};

struct Vector3 {
  Vector3(float x, float y, float z);
};

struct Quaternion {
  Quaternion(float x, float y, float z, float w);
};

// Written to through `write` or `ptrw` only, as the one that copies on write.
template <class T>
class Vector {
 public:
  struct Write {
    T& operator[](std::int64_t i);
  } write;
  int resize(std::int64_t count);
  std::int64_t size() const;
  T* ptrw();
  const T* ptr() const;
  const T& operator[](std::int64_t i) const;
};

class Object {
 public:
  virtual ~Object() = default;
  template <class T>
  static T* cast_to(Object* object) {
    return dynamic_cast<T*>(object);
  }
};

class Node : public Object {
 public:
  virtual void _ready() {}
  virtual void _process(double) {}
  Node* get_node_or_null(const NodePath& path) const;
};

class Node3D : public Node {
 public:
  void translate_object_local(const Vector3& offset);
  void rotate_object_local(const Vector3& axis, float angle);
};

class Skeleton3D : public Node3D {
 public:
  std::int32_t find_bone(const String& name) const;
  void set_bone_pose_rotation(std::int32_t bone, const Quaternion& rotation);
  void set_bone_pose_position(std::int32_t bone, const Vector3& position);
};

class Engine {
 public:
  static Engine* get_singleton();
  bool is_editor_hint() const;
};

class ProjectSettings {
 public:
  static ProjectSettings* get_singleton();
  String globalize_path(const String& path) const;
};

struct UtilityFunctions {
  static void push_error(const String& text);
  static void push_warning(const String& text);
};

struct Variant {
  enum Type { STRING, NODE_PATH };
};
enum PropertyHint { PROPERTY_HINT_NONE, PROPERTY_HINT_FILE };
struct PropertyInfo {
  PropertyInfo(Variant::Type type, const char* name, PropertyHint hint = PROPERTY_HINT_NONE);
};
struct MethodDefinition {};
template <class... Names>
MethodDefinition D_METHOD(const char* name, Names... arguments);
struct ClassDB {
  template <class Method>
  static void bind_method(MethodDefinition definition, Method method);
  template <class Class>
  static void register_class();
};
void add_property(const PropertyInfo& info, const char* setter, const char* getter);

enum ModuleInitializationLevel { MODULE_INITIALIZATION_LEVEL_SCENE = 2 };
struct GDExtensionBinding {
  struct InitObject {
    InitObject(GDExtensionInterfaceGetProcAddress, GDExtensionClassLibraryPtr, GDExtensionInitialization*);
    void register_initializer(void (*initialize)(ModuleInitializationLevel)) const;
    void register_terminator(void (*terminate)(ModuleInitializationLevel)) const;
    void set_minimum_library_initialization_level(ModuleInitializationLevel level) const;
    GDExtensionBool init() const;
  };
};

}  // namespace godot

#define GDCLASS(Class, Base)
#define ADD_PROPERTY(info, setter, getter) godot::add_property(info, setter, getter)
