// What Swagger UI says by itself, in better words: in English where it names nothing, in Chinese all of it.

const zh = {
  "API key": "API 密钥",
  "Cancel": "取消",
  "Clear": "清空",
  "Close": "关闭",
  "Code": "状态码",
  "Controls": "对应请求头",
  "Curl": "curl 命令",
  "Description": "说明",
  "Details": "内容",
  "Download": "下载",
  "Edit Value": "编辑",
  "Error:": "错误：",
  "Example Description": "示例说明",
  "Example Value": "示例",
  "Examples": "示例",
  "Examples:": "示例：",
  "Execute": "发送请求",
  "Failed to load API definition.": "接口描述加载失败。",
  "Links": "链接",
  "Loading": "正在加载",
  "Logout": "清除",
  "Media type": "媒体类型",
  "Name": "名称",
  "No links": "没有链接",
  "No parameters": "没有参数",
  "Parameter content type": "参数的媒体类型",
  "Parameters": "参数",
  "Request URL": "请求 URL",
  "Request body": "请求体",
  "Request duration": "用时",
  "Required field is not provided": "必填",
  "Reset": "重置",
  "Response body": "响应体",
  "Response content type": "响应的媒体类型",
  "Response headers": "响应头",
  "Responses": "响应",
  "Schema": "结构",
  "Schemas": "数据结构",
  "Send empty value": "发送空值",
  "Servers": "服务器",
  "Server response": "服务器的响应",
  "Try it out": "试一试",
  "Undocumented": "没有说明",
  "header.": "。",
  "required": "必填",
};

/** Swagger UI's words and ours, in this language; requests to the admin listener show a secret, and others a token. */
export function words(inChinese, isAdmin) {
  if (!inChinese) return { "Value:": isAdmin ? "Secret:" : "Token:" };
  const shown = isAdmin ? "访问密钥" : " token";
  return { ...zh, "Authorize": `填写${shown}`, "Available authorizations": `请求使用的${shown}`, "Value:": `${shown.trim()}：` };
}
