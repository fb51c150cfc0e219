FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY build ./build
COPY src ./src
RUN npm run bundle

FROM node:26-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
# Needs no node_modules: the bundle contains its dependencies, and THIRD-PARTY-LICENSES their licenses.
COPY package.json LICENSE ./
COPY --from=build /app/dist ./dist
# For QUEUE_URL=sqlite:/data/outtray.db: a volume mounted here gets this owner.
RUN install -d -o node -g node /data
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["node", "/app/dist/main.js", "healthcheck"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]
